// /api/generate and /api/chat: one JSON object a line (routes.go:2097, api/types.go).
#include "bench/sim/dialect.hpp"

namespace sim {

namespace {

void append_created(std::string& out, const wall_clock& wall)
{
    out += "\"created_at\":\"";
    append_rfc3339(out, wall.now());
    out += '"';
}

// Every figure is omitempty.
void append_figures(std::string& out, const totals& t)
{
    auto put = [&](std::string_view key, std::int64_t value) {
        if (value == 0)
            return;
        out += ",\"";
        out += key;
        out += "\":";
        out += std::to_string(value);
    };
    put("total_duration", t.total);
    put("load_duration", t.load);
    put("prompt_eval_count", t.prompt_tokens);
    put("prompt_eval_duration", t.prompt);
    put("eval_count", t.tokens);
    put("eval_duration", t.eval);
}

class native : public dialect {
public:
    native(voice v, std::string_view open, std::string_view close)
        : v_(std::move(v)), open_(open), close_(close)
    {
        prefix_ = "{\"model\":\"" + go_escaped(v_.model) + "\",";
    }

    std::string_view stream_type() const override { return "application/x-ndjson"; }
    std::string_view whole_type() const override { return "application/json; charset=utf-8"; }

    void piece(frame_sink& to, std::string_view text) override
    {
        line_.assign(prefix_);
        append_created(line_, v_.wall);
        line_ += open_;
        line_ += text;
        line_ += close_;
        line_ += ",\"done\":false}\n";
        to.frame(line_);
    }

    void last(frame_sink& to, const totals& t) override
    {
        auto line = whole({}, t);
        line += '\n';
        to.frame(line);
    }

    void broken(frame_sink& to, std::string_view message) override
    {
        to.frame(native_error(message) + '\n');
    }

    std::string whole(std::string_view text, const totals& t) override
    {
        std::string out = prefix_;
        append_created(out, v_.wall);
        out += open_;
        out += text;
        out += close_;
        if (!t.done)
            return out + ",\"done\":false}";
        out += ",\"done\":true,\"done_reason\":\"";
        out += t.reason;
        out += '"';
        if (v_.context && t.tokens > 0) {
            out += ",\"context\":[";
            for (int i = 0; i < t.prompt_tokens + t.tokens; ++i) {
                if (i > 0)
                    out += ',';
                out +=
                    std::to_string(1000 + (static_cast<std::uint64_t>(i) * 7919 + v_.id) % 127000);
            }
            out += ']';
        }
        append_figures(out, t);
        return out + '}';
    }

    std::string error(int, std::string_view message) const override
    {
        return native_error(message);
    }
    std::string_view error_type() const override { return "application/json; charset=utf-8"; }

private:
    voice v_;
    std::string prefix_;
    std::string_view open_;
    std::string_view close_;
    std::string line_;
};

}  // namespace

std::string native_error(std::string_view message)
{
    return "{\"error\":\"" + go_escaped(message) + "\"}";
}

std::unique_ptr<dialect> native_generate(voice v)
{
    return std::make_unique<native>(std::move(v), ",\"response\":\"", "\"");
}

std::unique_ptr<dialect> native_chat(voice v)
{
    return std::make_unique<native>(std::move(v),
                                    ",\"message\":{\"role\":\"assistant\",\"content\":\"", "\"}");
}

// Words with what breaks careless relays in them: characters of two to four bytes, what Go escapes,
// quotes.
std::string_view token_text(std::uint64_t seed, int i)
{
    static constexpr std::string_view words[] = {
        "The",      " quick",        " brown", " fox",   " jumps",  " over",  " the",
        " lazy",    " dog",          ".",      " Größe", " 日本語", " 🙂",  " \\u003cb\\u003e",
        " \\u0026", " \\\"word\\\"", "\\n",    " token", " stream", " model", " answers",
        " with",    " some",         " text",  " naïve", " café",   " 42",    ",",
        " and",     " so",           " on",
    };
    constexpr std::uint64_t count = std::size(words);
    auto mixed =
        (seed ^ (static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15ull)) * 0xBF58476D1CE4E5B9ull;
    return words[(mixed >> 32) % count];
}

}  // namespace sim
