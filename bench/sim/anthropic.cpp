// /v1/messages as Ollama translates it (anthropic/anthropic.go).
#include "bench/sim/dialect.hpp"

namespace sim {

namespace {

class messages final : public dialect {
public:
    explicit messages(voice v) : v_(std::move(v)), name_(go_escaped(v_.model)) {}

    // Set by the middleware before anything runs (middleware/anthropic.go).
    std::string_view stream_fields() const override
    {
        return "Cache-Control: no-cache\r\nConnection: keep-alive\r\n";
    }

    void piece(frame_sink& to, std::string_view text) override
    {
        open(to);
        if (!block_) {
            block_ = true;
            event(to, "content_block_start",
                  R"("index":0,"content_block":{"type":"text","text":""})");
        }
        std::string delta = R"("index":0,"delta":{"type":"text_delta","text":")";
        delta += text;
        event(to, "content_block_delta", delta + "\"}");
    }

    void last(frame_sink& to, const totals& t) override
    {
        open(to);
        if (block_)
            event(to, "content_block_stop", "\"index\":0");
        event(to, "message_delta",
              "\"delta\":{\"stop_reason\":\"" + reason(t) + "\"},\"usage\":" + usage(t));
        event(to, "message_stop", {});
    }

    // An empty ChatResponse: at most the opening event, then the end.
    void broken(frame_sink& to, std::string_view) override { open(to); }

    std::string whole(std::string_view text, const totals& t) override
    {
        std::string out = "{\"id\":\"" + id() +
                          "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"" + name_ +
                          "\",\"content\":[{\"type\":\"text\",\"text\":\"";
        out += text;
        out += "\"}]";
        if (t.done)
            out += ",\"stop_reason\":\"" + reason(t) + '"';
        return out + ",\"usage\":" + usage(t) + "}\n";
    }

    std::string error(int status, std::string_view message) const override
    {
        return anthropic_error(status, message, v_.id) + '\n';
    }

private:
    std::string id() const { return "msg_" + sha256_hex(std::to_string(v_.id)).substr(0, 24); }
    static std::string reason(const totals& t)
    {
        return t.reason == "length" ? "max_tokens" : "end_turn";
    }
    static std::string usage(const totals& t)
    {
        return "{\"input_tokens\":" + std::to_string(t.prompt_tokens) +
               ",\"output_tokens\":" + std::to_string(t.tokens) + '}';
    }

    void event(frame_sink& to, std::string_view type, std::string_view members)
    {
        std::string out = "event: ";
        out += type;
        out += "\ndata: {\"type\":\"";
        out += type;
        out += '"';
        if (!members.empty())
            out += ',';
        out += members;
        to.frame(out + "}\n\n");
    }

    void open(frame_sink& to)
    {
        if (std::exchange(opened_, true))
            return;
        event(to, "message_start",
              "\"message\":{\"id\":\"" + id() +
                  "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"" + name_ +
                  "\",\"content\":[],\"usage\":{\"input_tokens\":" +
                  std::to_string(v_.prompt_tokens) + ",\"output_tokens\":0}}");
    }

    voice v_;
    std::string name_;
    bool opened_ = false;
    bool block_ = false;
};

}  // namespace

std::string anthropic_error(int status, std::string_view message, std::uint64_t id)
{
    std::string_view type = status == 400                    ? "invalid_request_error"
                            : status == 401                  ? "authentication_error"
                            : status == 403                  ? "permission_error"
                            : status == 404                  ? "not_found_error"
                            : status == 429                  ? "rate_limit_error"
                            : status == 503 || status == 529 ? "overloaded_error"
                                                             : "api_error";
    std::string out = "{\"type\":\"error\",\"error\":{\"type\":\"";
    out += type;
    out += "\",\"message\":\"" + go_escaped(message) + "\"},\"request_id\":\"req_";
    return out + sha256_hex(std::to_string(id)).substr(0, 24) + "\"}";
}

std::unique_ptr<dialect> anthropic_messages(voice v)
{
    return std::make_unique<messages>(std::move(v));
}

}  // namespace sim
