// /v1/chat/completions and /v1/completions as Ollama translates them (openai/openai.go,
// middleware/openai.go).
#include "bench/sim/dialect.hpp"

namespace sim {

namespace {

std::string usage(const totals& t)
{
    return "{\"prompt_tokens\":" + std::to_string(t.prompt_tokens) +
           ",\"completion_tokens\":" + std::to_string(t.tokens) +
           ",\"total_tokens\":" + std::to_string(t.prompt_tokens + t.tokens) + '}';
}

std::string reason_of(const totals& t)
{
    return t.done ? '"' + std::string(t.reason) + '"' : std::string("null");
}

class openai : public dialect {
public:
    explicit openai(voice v) : v_(std::move(v)), name_(go_escaped(v_.model)) {}

    std::string error(int status, std::string_view message) const override
    {
        return openai_error(status, message) + '\n';
    }

protected:
    std::string created() const { return std::to_string(v_.wall.now().seconds); }
    // middleware/openai.go: rand.Intn(999), so ids are not unique.
    std::string id() const { return std::to_string(v_.id % 999); }

    voice v_;
    std::string name_;
};

class chat final : public openai {
public:
    using openai::openai;

    void piece(frame_sink& to, std::string_view text) override
    {
        to.frame("data: " + chunk(name_, text, "null") + "\n\n");
    }

    void last(frame_sink& to, const totals& t) override
    {
        auto out = "data: " + chunk(name_, {}, reason_of(t)) + "\n\n";
        if (v_.usage)
            out += "data: " + head("chat.completion.chunk", name_) +
                   ",\"choices\":[],\"usage\":" + usage(t) + "}\n\n";
        // One line of Ollama's own is one flush, whatever becomes of it here.
        to.frame(out + "data: [DONE]\n\n");
    }

    void broken(frame_sink& to, std::string_view) override
    {
        to.frame("data: " + chunk({}, {}, "null") + "\n\n");
    }

    std::string whole(std::string_view text, const totals& t) override
    {
        std::string out = head("chat.completion", name_);
        out += ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"";
        out += text;
        out += "\"},\"finish_reason\":" + reason_of(t) + "}],\"usage\":" + usage(t) + "}\n";
        return out;
    }

private:
    std::string head(std::string_view object, std::string_view model) const
    {
        std::string out = "{\"id\":\"chatcmpl-" + id() + "\",\"object\":\"";
        out += object;
        out += "\",\"created\":" + created() + ",\"model\":\"";
        out += model;
        return out + "\",\"system_fingerprint\":\"fp_ollama\"";
    }

    std::string chunk(std::string_view model, std::string_view text, std::string_view reason) const
    {
        auto out = head("chat.completion.chunk", model);
        out += ",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"";
        out += text;
        out += "\"},\"finish_reason\":";
        out += reason;
        return out + "}]}";
    }
};

class completion final : public openai {
public:
    using openai::openai;

    void piece(frame_sink& to, std::string_view text) override
    {
        to.frame("data: " + chunk(name_, choice(text, "null"), zero_usage()) + "\n\n");
    }

    void last(frame_sink& to, const totals& t) override
    {
        auto out = "data: " + chunk(name_, choice({}, reason_of(t)), zero_usage()) + "\n\n";
        if (v_.usage)
            out += "data: " + chunk(name_, "[]", ",\"usage\":" + usage(t)) + "\n\n";
        to.frame(out + "data: [DONE]\n\n");
    }

    void broken(frame_sink& to, std::string_view) override
    {
        to.frame("data: " + chunk({}, choice({}, "null"), zero_usage()) + "\n\n");
    }

    std::string whole(std::string_view text, const totals& t) override
    {
        return "{\"id\":\"cmpl-" + id() +
               "\",\"object\":\"text_completion\",\"created\":" + created() + ",\"model\":\"" +
               name_ +
               "\",\"system_fingerprint\":\"fp_ollama\",\"choices\":" + choice(text, reason_of(t)) +
               ",\"usage\":" + usage(t) + "}\n";
    }

private:
    std::string zero_usage() const { return v_.usage ? ",\"usage\":" + usage({}) : std::string(); }

    static std::string choice(std::string_view text, std::string_view reason)
    {
        std::string out = "[{\"text\":\"";
        out += text;
        out += "\",\"index\":0,\"finish_reason\":";
        out += reason;
        return out + "}]";
    }

    std::string chunk(std::string_view model, std::string_view choices, std::string_view tail) const
    {
        std::string out = "{\"id\":\"cmpl-" + id() +
                          "\",\"object\":\"text_completion\",\"created\":" + created() +
                          ",\"choices\":";
        out += choices;
        out += ",\"model\":\"";
        out += model;
        out += "\",\"system_fingerprint\":\"fp_ollama\"";
        out += tail;
        return out + '}';
    }
};

class transcription final : public openai {
public:
    transcription(voice v, std::string format) : openai(std::move(v)), format_(std::move(format)) {}

    void piece(frame_sink&, std::string_view) override {}
    void last(frame_sink&, const totals&) override {}
    void broken(frame_sink&, std::string_view) override {}
    std::string_view whole_type() const override
    {
        return format_ == "text" ? "text/plain; charset=utf-8" : "application/json";
    }
    std::string whole(std::string_view text, const totals&) override
    {
        if (format_ == "text")
            return json::parse('"' + std::string(text) + '"').get<std::string>();
        return "{\"text\":\"" + std::string(text) + "\"}\n";
    }

private:
    std::string format_;
};

}  // namespace

std::string openai_error(int status, std::string_view message)
{
    std::string_view type = status == 400   ? "invalid_request_error"
                            : status == 404 ? "not_found_error"
                                            : "api_error";
    std::string out = "{\"error\":{\"message\":\"" + go_escaped(message) + "\",\"type\":\"";
    out += type;
    return out + "\",\"param\":null,\"code\":null}}";
}

std::unique_ptr<dialect> openai_chat(voice v)
{
    return std::make_unique<chat>(std::move(v));
}

std::unique_ptr<dialect> openai_completion(voice v)
{
    return std::make_unique<completion>(std::move(v));
}

std::unique_ptr<dialect> openai_transcription(voice v, std::string format)
{
    return std::make_unique<transcription>(std::move(v), std::move(format));
}

}  // namespace sim
