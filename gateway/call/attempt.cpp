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

constexpr std::size_t longest_name = 200;
constexpr std::size_t longest_told = 3 * longest_name;  // each byte as %XX

// A model's name is whatever the client wrote: only what can neither end the header nor be taken
// for one of the list's own delimiters stands as it is, the rest as %XX. Cut, so that a name cannot
// swell the head past what clients and tunnels take. Returns the end of what it wrote.
char* put_name(char* to, std::string_view name)
{
    constexpr char digits[] = "0123456789ABCDEF";
    for (const char c : name.substr(0, longest_name)) {
        if (is_plain(c)) {
            *to++ = c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            *to++ = '%';
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
    }
    return to;
}

char* put(char* to, std::string_view text)
{
    return std::copy(text.begin(), text.end(), to);
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
    // Two names, and less than 100 bytes of words and numbers.
    std::array<char, 2 * longest_told + 100> one;
    for (const auto& a : attempts) {
        char* end = one.data();
        if (&a != &attempts.front()) {
            end = put(end, ", ");
        }
        end = put_name(end, a.model);
        *end++ = '@';
        end = put_name(end, a.upstream);
        end = put(end, ";outcome=");
        end = put(end, word(a.what));
        if (a.what == outcome::upstream_status) {
            end = put(end, ";status=");
            end = put_number(end, a.status);
        }
        end = put(end, ";ms=");
        end = put_number(end, a.ms);
        to.append(one.data(), static_cast<std::size_t>(end - one.data()));
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
