// What a waiting client is told, byte for byte: each form was run against the clients it is for
// (SPEC §6). Keys that clients act on (error, event, usage, done, …) never stand in a payload.
#include "base/text.hpp"
#include "stream/frames.hpp"

namespace gateway {

namespace {

void append_key(std::string& out, std::string_view key)
{
    out += ",\"";
    out += key;
    out += "\":";
}

// "status" to "eta_ms", with neither brace nor comma at the ends.
void append_numbers(std::string& out, const queue_status& s)
{
    out += "\"status\":\"";
    out += word(s.status);
    out += '"';
    append_key(out, "position");
    out += s.position ? std::to_string(*s.position) : "null";
    append_key(out, "queue_length");
    out += std::to_string(s.queue_length);
    append_key(out, "waited_ms");
    out += std::to_string(s.waited_ms);
    append_key(out, "eta_ms");
    out += s.eta_ms ? std::to_string(*s.eta_ms) : "null";
}

void append_words(std::string& out, const queue_status& s)
{
    append_key(out, "request_id");
    append_json_quoted(out, s.request_id);
    append_key(out, "message");
    append_json_quoted(out, s.message);
}

// A chunk of the endpoint that adds nothing to the answer, without its closing brace.
void append_empty_chunk(std::string& out, endpoint e, const queue_status& s, std::int64_t created)
{
    bool chat = e != endpoint::completions;
    out += chat ? "{\"id\":\"chatcmpl-queue\",\"object\":\"chat.completion.chunk\""
                : "{\"id\":\"cmpl-queue\",\"object\":\"text_completion\"";
    append_key(out, "created");
    out += std::to_string(created);
    append_key(out, "model");
    append_json_quoted(out, s.model);
    append_key(out, "choices");
    out += chat ? "[{\"index\":0,\"delta\":{},\"finish_reason\":null}]"
                : "[{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]";
}

std::string comment(const queue_status& s)
{
    std::string out = ": ";
    if (s.status == phase::waiting) {
        out += "queued";
        if (s.position)
            out += " position=" + std::to_string(*s.position);
    } else {
        out += word(s.status);
    }
    out += " waited=" + std::to_string(s.waited_ms / 1000) + "s\n\n";
    return out;
}

std::string native_chunk(endpoint e, const queue_status& s, std::string_view created_at)
{
    std::string out = "{\"model\":";
    append_json_quoted(out, s.model);
    append_key(out, "created_at");
    append_json_quoted(out, created_at);
    out += e == endpoint::chat ? ",\"message\":{\"role\":\"assistant\",\"content\":\"\"}"
                               : ",\"response\":\"\"";
    out += ",\"done\":false,\"queue_status\":";
    out += payload(s);
    out += "}\n";
    return out;
}

std::string sse_chunk(endpoint e, const queue_status& s, std::int64_t created)
{
    std::string out = "event: queue_status\ndata: ";
    append_empty_chunk(out, e, s, created);
    out += ',';
    append_numbers(out, s);
    append_words(out, s);
    out += "}\n\n";
    return out;
}

std::string open_webui(endpoint e, const queue_status& s, std::int64_t created, bool done)
{
    std::string out = "data: ";
    append_empty_chunk(out, e, s, created);
    out += ",\"event\":{\"type\":\"status\",\"data\":{\"description\":";
    append_json_quoted(out, s.message);
    out += done ? ",\"done\":true}}}\n\n" : ",\"done\":false}}}\n\n";
    return out;
}

}  // namespace

std::string payload(const queue_status& s)
{
    std::string out = "{";
    append_numbers(out, s);
    append_key(out, "model");
    append_json_quoted(out, s.model);
    append_words(out, s);
    out += '}';
    return out;
}

std::string frame(telling t, endpoint e, const queue_status& s, std::int64_t created,
                  std::string_view created_at, bool done)
{
    bool has_chunks = e == endpoint::chat_completions || e == endpoint::completions;
    switch (t) {
        case telling::padding: return " ";
        case telling::comment: return comment(s);
        case telling::ping: return "event: ping\ndata: {\"type\":\"ping\"}\n\n";
        case telling::native_chunk:
            return e == endpoint::chat || e == endpoint::generate ? native_chunk(e, s, created_at)
                                                                  : " ";
        case telling::sse_chunk: return has_chunks ? sse_chunk(e, s, created) : comment(s);
        case telling::sse_raw: return "event: queue_status\ndata: " + payload(s) + "\n\n";
        case telling::open_webui: return has_chunks ? open_webui(e, s, created, done) : comment(s);
        case telling::silent: return {};
    }
    return {};
}

std::string empty_chunk_frame(endpoint e, const queue_status& s, std::int64_t created)
{
    std::string out = "data: ";
    append_empty_chunk(out, e, s, created);
    out += "}\n\n";
    return out;
}

}  // namespace gateway
