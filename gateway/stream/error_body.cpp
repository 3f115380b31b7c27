// Errors in the words of each API, as a body of their own and inside an answer that has begun.
#include "base/text.hpp"
#include "stream/frames.hpp"

#include <nlohmann/json.hpp>

namespace gateway {

namespace {

using json = nlohmann::ordered_json;

// Ollama's own text, with its two spaces (sched.go:88): clients match on it.
constexpr std::string_view busy_text =
    "server busy, please try again.  maximum pending requests exceeded";

std::string_view default_text(fault_code code)
{
    switch (code) {
        case fault_code::queue_full:
        case fault_code::queue_timeout: return busy_text;
        case fault_code::no_upstream: return "no upstream is available";
        case fault_code::upstream_failed: return "the upstream failed";
        case fault_code::timed_out: return "timed out";
        case fault_code::model_stuck: return "the model is stuck";
        case fault_code::bad_request: return "bad request";
        case fault_code::bad_body: return "bad request body";
        case fault_code::too_large: return "the request body is too large";
        case fault_code::head_too_large: return "the request head is too large";
        case fault_code::unauthorized: return "a key is required";
        case fault_code::forbidden: return "not allowed";
        case fault_code::overloaded: return "the gateway is overloaded";
        case fault_code::loop: return "the request has come back to this gateway";
        case fault_code::not_found: return "not found";
        case fault_code::bad_method: return "method not allowed";
        case fault_code::cancelled: return "cancelled";
        case fault_code::draining: return "the gateway is stopping";
        case fault_code::conflict: return "not in this state";
        case fault_code::jobs_unavailable: return "the job store cannot be used";
        case fault_code::client_gone: return "the client is gone";
    }
    return "failed";
}

std::string_view text_of(const fault& f, dialect d)
{
    bool busy = f.code == fault_code::queue_full || f.code == fault_code::queue_timeout;
    if (f.message.empty() || (busy && d == dialect::native)) {
        return default_text(f.code);
    }
    return f.message;
}

// OpenAI's own SDKs go by the status; these are the types its API is known to give.
std::string_view openai_type(int status)
{
    if (status == 429) {
        return "rate_limit_error";
    }
    return status < 500 ? "invalid_request_error" : "server_error";
}

std::string_view anthropic_type(int status)
{
    switch (status) {
        case 401: return "authentication_error";
        case 403: return "permission_error";
        case 404: return "not_found_error";
        case 413: return "request_too_large";
        case 429: return "rate_limit_error";
        case 503:
        case 529: return "overloaded_error";
        case 504: return "timeout_error";
        default: return status < 500 ? "invalid_request_error" : "api_error";
    }
}

std::string_view anthropic_type(fault_code code)
{
    return code == fault_code::cancelled ? "api_error"
                                         : anthropic_type(http_status(code, dialect::anthropic));
}

// What an error says, in any dialect. Everything is JSON already except the status.
struct words {
    std::string message;  // quoted
    std::string code;     // quoted, or null
    std::string type;     // quoted
    std::string param = "null";
    std::string rest;     // further members, each after a comma
    int http_status = 0;  // 0: not told
};

words words_of(const fault& f, dialect d, const std::vector<attempt>& attempts, bool in_band)
{
    words w;
    w.message = json_quote(text_of(f, d));
    w.code = json_quote(word(f.code));
    int status = http_status(f.code, d);
    w.type = json_quote(d == dialect::anthropic ? anthropic_type(f.code) : openai_type(status));
    w.http_status = in_band ? status : 0;
    if (!attempts.empty()) {
        w.rest = ",\"attempts\":" + to_json(attempts);
    }
    return w;
}

void append_end(std::string& out, const words& w)
{
    if (w.http_status != 0) {
        out += ",\"http_status\":" + std::to_string(w.http_status);
    }
    out += w.rest;
    out += '}';
}

// The error object of the dialect, without a line end.
std::string object(const words& w, dialect d)
{
    std::string out;
    switch (d) {
        case dialect::native:
            out = "{\"error\":" + w.message;
            if (w.code != "null") {
                out += ",\"code\":" + w.code;
            }
            append_end(out, w);
            return out;
        case dialect::openai:
            out = "{\"error\":{\"message\":" + w.message + ",\"type\":" + w.type +
                  ",\"param\":" + w.param + ",\"code\":" + w.code;
            break;
        case dialect::anthropic:
            out = "{\"type\":\"error\",\"error\":{\"type\":" + w.type + ",\"message\":" + w.message;
            if (w.code != "null") {
                out += ",\"code\":" + w.code;
            }
            break;
    }
    append_end(out, w);
    out += '}';
    return out;
}

// One frame that both /v1/responses and /v1/messages clients take for an error (clients.md §1.2).
std::string named_event(const words& w)
{
    std::string out = "event: error\ndata: {\"type\":\"error\",\"code\":" + w.code +
                      ",\"message\":" + w.message + ",\"param\":" + w.param +
                      ",\"sequence_number\":0,\"error\":{\"type\":" + w.type +
                      ",\"code\":" + w.code + ",\"message\":" + w.message;
    append_end(out, w);
    out += "}\n\n";
    return out;
}

std::string framed(const words& w, endpoint e, dialect d, shape s)
{
    switch (s) {
        case shape::one_piece:
        case shape::ndjson: return object(w, d) + '\n';
        case shape::native_sse: return "event: error\ndata: " + object(w, dialect::native) + "\n\n";
        case shape::sse: break;
    }
    if (e == endpoint::responses || e == endpoint::messages) {
        return named_event(w);
    }
    return "data: " + object(w, d) + "\n\n";
}

// What an upstream's error body may weigh and how deep its values may nest to be re-told; the rest
// of it is dropped.
constexpr std::size_t longest_upstream_error = 64 * 1024;
constexpr std::size_t longest_upstream_text = 4096;
constexpr int deepest_upstream_error = 8;

json parse_error(std::string_view body)
{
    if (body.size() > longest_upstream_error) {
        return json(json::value_t::discarded);
    }
    auto shallow = [](int depth, json::parse_event_t, json&) {
        return depth <= deepest_upstream_error;
    };
    return json::parse(body.begin(), body.end(), shallow, false);
}

std::string dump(const json& value)
{
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Members that are not told already, and not ours: Go's client takes `status` for its own
// (api.StatusError, keys folded).
void append_others(std::string& rest, const json& error,
                   std::initializer_list<std::string_view> told)
{
    for (const auto& [key, value] : error.items()) {
        bool ours = iequals(key, "status") || iequals(key, "statuscode") || key == "http_status";
        for (auto t : told) {
            ours = ours || key == t;
        }
        if (!ours && !value.is_discarded()) {
            rest += ',' + json_quote(key) + ':' + dump(value);
        }
    }
}

words upstream_words(int status, std::string_view body, dialect d)
{
    words w;
    w.http_status = status;
    w.code = "null";
    w.type = json_quote(d == dialect::anthropic ? anthropic_type(status) : openai_type(status));
    auto parsed = parse_error(body);
    if (parsed.is_object()) {
        auto it = parsed.find("error");
        if (it != parsed.end() && it->is_string()) {
            w.message = dump(*it);
            append_others(w.rest, parsed, {"error", "code", "type"});
            auto code = parsed.find("code");
            w.code = code != parsed.end() && code->is_string() ? dump(*code) : w.code;
        } else if (it != parsed.end() && it->is_object()) {
            auto take = [&](const char* key, std::string& to) {
                if (auto member = it->find(key); member != it->end() && !member->is_structured()) {
                    to = dump(*member);
                }
            };
            take("message", w.message);
            take("code", w.code);
            take("type", w.type);
            take("param", w.param);
            append_others(w.rest, *it, {"message", "code", "type", "param"});
        }
    }
    if (w.message.empty() || w.message == "null") {
        auto text = trim(body.substr(0, longest_upstream_text));
        w.message = json_quote(text.empty() ? "the upstream answered " + std::to_string(status)
                                            : std::string(text));
    }
    return w;
}

}  // namespace

std::string error_body(const fault& f, dialect d, const std::vector<attempt>& attempts)
{
    return object(words_of(f, d, attempts, false), d) + '\n';
}

std::string error_in_band(const fault& f, endpoint e, dialect d, shape s,
                          const std::vector<attempt>& attempts, bool mid_line)
{
    std::string out;
    if (mid_line) {
        out = s == shape::sse || s == shape::native_sse ? "\n\n" : "\n";
    }
    out += framed(words_of(f, d, attempts, true), e, d, s);
    return out;
}

std::string upstream_error_body(int status, std::string_view body, dialect d,
                                const std::vector<attempt>& attempts)
{
    auto w = upstream_words(status, body, d);
    w.http_status = 0;
    w.rest += ",\"attempts\":" + to_json(attempts);
    return object(w, d) + '\n';
}

std::string upstream_error_in_band(int status, std::string_view body, endpoint e, dialect d,
                                   shape s, const std::vector<attempt>& attempts)
{
    auto w = upstream_words(status, body, d);
    if (!attempts.empty()) {
        w.rest += ",\"attempts\":" + to_json(attempts);
    }
    return framed(w, e, d, s);
}

}  // namespace gateway
