// How the attempts of a call are written in error bodies, status pages and X-Gateway-Attempts.
#include "call/attempt.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway {

namespace {

constexpr bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= ':') || c == '.' ||
           c == '_' || c == '-' || c == '/' || c == '+';
}

// A model's name is whatever the client wrote: only what can neither end the header nor be taken
// for one of the list's own delimiters stands as it is, the rest as %XX. Cut, so that a name cannot
// swell the head past what clients and tunnels take.
void append_name(std::string& out, std::string_view name)
{
    constexpr std::size_t longest = 200;
    constexpr char digits[] = "0123456789ABCDEF";
    name = name.substr(0, longest);
    while (!name.empty()) {
        auto odd = std::find_if_not(name.begin(), name.end(), is_plain);
        auto plain = static_cast<std::size_t>(odd - name.begin());
        out += name.substr(0, plain);
        name.remove_prefix(plain);
        if (!name.empty()) {
            auto byte = static_cast<unsigned char>(name.front());
            out += '%';
            out += digits[byte >> 4];
            out += digits[byte & 15];
            name.remove_prefix(1);
        }
    }
}

}  // namespace

std::string_view word(outcome o)
{
    switch (o) {
        case outcome::ok: return "ok";
        case outcome::client_gone: return "client_gone";
        case outcome::timed_out: return "timed_out";
        case outcome::connect_failed: return "connect_failed";
        case outcome::upstream_failed: return "upstream_failed";
        case outcome::upstream_status: return "upstream_status";
        case outcome::truncated: return "truncated";
        case outcome::does_not_fit: return "does_not_fit";
        case outcome::stuck: return "stuck";
        case outcome::not_tried: return "not_tried";
        case outcome::refused: return "refused";
        case outcome::cancelled: return "cancelled";
        case outcome::gateway_stopped: return "gateway_stopped";
    }
    return "not_tried";
}

std::string to_json(const std::vector<attempt>& attempts)
{
    std::string out = "[";
    for (const auto& a : attempts) {
        if (out.size() > 1) {
            out += ',';
        }
        out += "{\"model\":";
        out += json_quote(a.model);
        out += ",\"upstream\":";
        out += json_quote(a.upstream);
        out += ",\"outcome\":\"";
        out += word(a.what);
        out += '"';
        if (a.what == outcome::upstream_status) {
            out += ",\"status\":" + std::to_string(a.status);
        }
        if (!a.error.empty()) {
            out += ",\"error\":";
            out += json_quote(a.error);
        }
        out += ",\"ms\":" + std::to_string(a.ms) + '}';
    }
    out += ']';
    return out;
}

std::string to_header(const std::vector<attempt>& attempts)
{
    std::string out;
    out.reserve(attempts.size() * 80);  // most are shorter
    for (const auto& a : attempts) {
        if (!out.empty()) {
            out += ", ";
        }
        append_name(out, a.model);
        out += '@';
        append_name(out, a.upstream);
        out += ";outcome=";
        out += word(a.what);
        if (a.what == outcome::upstream_status) {
            out += ";status=" + std::to_string(a.status);
        }
        out += ";ms=" + std::to_string(a.ms);
    }
    return out;
}

}  // namespace gateway
