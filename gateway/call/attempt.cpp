// How the attempts of a call are written in error bodies, status pages and X-Gateway-Attempts.
#include "call/attempt.hpp"

#include "base/digits.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace gateway {

namespace {

constexpr auto plain_bytes = [] {
    std::array<bool, 256> plain{};
    for (unsigned char c : std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789:._-/+")) {
        plain[c] = true;
    }
    return plain;
}();

bool is_plain(char c)
{
    return plain_bytes[static_cast<unsigned char>(c)];
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
            out += ",\"status\":";
            append_number(out, a.status);
        }
        if (!a.error.empty()) {
            out += ",\"error\":";
            out += json_quote(a.error);
        }
        out += ",\"ms\":";
        append_number(out, a.ms);
        out += '}';
    }
    out += ']';
    return out;
}

void append_header(std::string& to, const std::vector<attempt>& attempts)
{
    for (const auto& a : attempts) {
        if (&a != &attempts.front()) {
            to += ", ";
        }
        append_name(to, a.model);
        to += '@';
        append_name(to, a.upstream);
        to += ";outcome=";
        to += word(a.what);
        if (a.what == outcome::upstream_status) {
            to += ";status=";
            append_number(to, a.status);
        }
        to += ";ms=";
        append_number(to, a.ms);
    }
}

std::string to_header(const std::vector<attempt>& attempts)
{
    std::string out;
    out.reserve(attempts.size() * 80);  // most are shorter
    append_header(out, attempts);
    return out;
}

}  // namespace gateway
