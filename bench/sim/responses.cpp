// /v1/responses as Ollama translates it (openai/responses.go).
#include "bench/sim/dialect.hpp"

namespace sim {

namespace {

class responses final : public dialect {
public:
    responses(voice v, const json& request) : v_(std::move(v)), request_(request)
    {
        response_id_ = "resp_" + std::to_string(v_.id % 999999);
        item_id_ = "msg_" + std::to_string((v_.id >> 20) % 999999);
    }

    // Set by the middleware before anything runs (middleware/openai.go:1208).
    std::string_view stream_fields() const override
    {
        return "Cache-Control: no-cache\r\nConnection: keep-alive\r\n";
    }

    void piece(frame_sink& to, std::string_view text) override
    {
        open(to);
        if (!std::exchange(started_, true)) {
            event(to, "response.output_item.added",
                  "\"output_index\":0,\"item\":" + item("in_progress", false));
            event(to, "response.content_part.added", at_item() + ",\"part\":" + part({}));
        }
        text_ += text;
        std::string delta = at_item() + ",\"delta\":\"";
        delta += text;
        event(to, "response.output_text.delta", delta + "\",\"logprobs\":[]");
    }

    void last(frame_sink& to, const totals& t) override
    {
        open(to);
        if (!started_)
            piece(to, {});
        event(to, "response.output_text.done",
              at_item() + ",\"text\":\"" + text_ + "\",\"logprobs\":[]");
        event(to, "response.content_part.done", at_item() + ",\"part\":" + part(text_));
        event(to, "response.output_item.done",
              "\"output_index\":0,\"item\":" + item("completed", true));
        event(to, "response.completed",
              "\"response\":" + response("completed", '[' + item("completed", true) + ']', &t));
    }

    // An empty ChatResponse: at most the opening events, then the end.
    void broken(frame_sink& to, std::string_view) override { open(to); }

    std::string whole(std::string_view text, const totals& t) override
    {
        text_ = text;
        return response("completed", '[' + item("completed", true) + ']', &t) + '\n';
    }

    std::string error(int status, std::string_view message) const override
    {
        return openai_error(status, message) + '\n';
    }

private:
    void event(frame_sink& to, std::string_view type, const std::string& members)
    {
        std::string out = "event: ";
        out += type;
        out += "\ndata: {" + members + ",\"sequence_number\":" + std::to_string(sequence_++) +
               ",\"type\":\"";
        out += type;
        to.frame(out + "\"}\n\n");
    }

    void open(frame_sink& to)
    {
        if (std::exchange(opened_, true))
            return;
        auto begun = "\"response\":" + response("in_progress", "[]", nullptr);
        event(to, "response.created", begun);
        event(to, "response.in_progress", begun);
    }

    std::string at_item() const
    {
        return "\"item_id\":\"" + item_id_ + "\",\"output_index\":0,\"content_index\":0";
    }

    static std::string part(std::string_view text)
    {
        std::string out = "{\"type\":\"output_text\",\"text\":\"";
        out += text;
        return out + "\",\"annotations\":[],\"logprobs\":[]}";
    }

    std::string item(std::string_view status, bool full) const
    {
        std::string out = "{\"id\":\"" + item_id_ + "\",\"type\":\"message\",\"status\":\"";
        out += status;
        out += "\",\"role\":\"assistant\",\"content\":[";
        if (full)
            out += part(text_);
        return out + "]}";
    }

    std::string echoed(const char* key, std::string_view otherwise) const
    {
        auto& v = member(request_, key);
        return v.is_null()
                   ? std::string(otherwise)
                   : go_html_escaped(v.dump(-1, ' ', false, json::error_handler_t::replace));
    }

    std::string response(std::string_view status, const std::string& output, const totals* t) const
    {
        auto now = std::to_string(v_.wall.now().seconds);
        std::string out = "{\"id\":\"" + response_id_ +
                          "\",\"object\":\"response\",\"created_at\":" + now + ",\"completed_at\":";
        out += t != nullptr ? now : "null";
        out += ",\"status\":\"";
        out += status;
        out +=
            "\",\"incomplete_details\":null,\"model\":\"" + go_escaped(v_.model) +
            "\",\"previous_response_id\":null,\"instructions\":" + echoed("instructions", "null") +
            ",\"output\":" + output + ",\"error\":null,\"tools\":" + echoed("tools", "[]") +
            ",\"tool_choice\":\"auto\",\"truncation\":" + echoed("truncation", "\"disabled\"") +
            ",\"parallel_tool_calls\":true,\"text\":{\"format\":{\"type\":\"text\"}},\"top_p\":" +
            echoed("top_p", "1") +
            ",\"presence_penalty\":0,\"frequency_penalty\":0,\"top_logprobs\":0,\"temperature\":" +
            echoed("temperature", "1") + ",\"reasoning\":null,\"usage\":";
        if (t == nullptr)
            out += "null";
        else
            out += "{\"input_tokens\":" + std::to_string(t->prompt_tokens) +
                   ",\"output_tokens\":" + std::to_string(t->tokens) +
                   ",\"total_tokens\":" + std::to_string(t->prompt_tokens + t->tokens) +
                   ",\"input_tokens_details\":{\"cached_tokens\":0},"
                   "\"output_tokens_details\":{\"reasoning_tokens\":0}}";
        return out + ",\"max_output_tokens\":" + echoed("max_output_tokens", "null") +
               ",\"max_tool_calls\":null,\"store\":false,\"background\":false,\"service_tier\":"
               "\"default\",\"metadata\":{},\"safety_identifier\":null,\"prompt_cache_key\":null}";
    }

    voice v_;
    json request_;
    std::string response_id_;
    std::string item_id_;
    std::string text_;
    int sequence_ = 0;
    bool opened_ = false;
    bool started_ = false;
};

}  // namespace

std::unique_ptr<dialect> openai_responses(voice v, const json& request)
{
    return std::make_unique<responses>(std::move(v), request);
}

}  // namespace sim
