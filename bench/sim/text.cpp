#include "bench/sim/text.hpp"

#include <openssl/evp.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace sim {

namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

struct ymd {
    std::int64_t year;
    unsigned month, day;
};

// Howard Hinnant's days_to_civil.
ymd to_date(std::int64_t days)
{
    days += 719468;
    auto era = (days >= 0 ? days : days - 146096) / 146097;
    auto doe = static_cast<unsigned>(days - era * 146097);
    auto yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    auto doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    auto mp = (5 * doy + 2) / 153;
    auto month = mp < 10 ? mp + 3 : mp - 9;
    return {static_cast<std::int64_t>(yoe) + era * 400 + (month <= 2), month,
            doy - (153 * mp + 2) / 5 + 1};
}

std::int64_t floor_div(std::int64_t a, std::int64_t b)
{
    return a / b - (a % b < 0);
}

void append_padded(std::string& out, std::int64_t value, int width)
{
    char digits[20];
    auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out.append(static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, width - (end - digits))), '0');
    out.append(digits, end);
}

}  // namespace

instant later(instant at, duration d)
{
    if (d > instant::max() - at)
        return instant::max();
    return at + d;
}

std::size_t utf8_length(std::string_view text, std::size_t at)
{
    auto byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
    };
    auto tail = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
    unsigned first = byte(at);
    if (first < 0x80)
        return at < text.size() ? 1 : 0;
    if (first >= 0xC2 && first <= 0xDF)
        return tail(at + 1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        unsigned second = byte(at + 1);
        if (!tail(at + 1) || !tail(at + 2) || (first == 0xE0 && second < 0xA0) ||
            (first == 0xED && second > 0x9F))
            return 0;
        return 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        unsigned second = byte(at + 1);
        if (!tail(at + 1) || !tail(at + 2) || !tail(at + 3) || (first == 0xF0 && second < 0x90) ||
            (first == 0xF4 && second > 0x8F))
            return 0;
        return 4;
    }
    return 0;
}

std::string go_escaped(std::string_view text)
{
    std::string out;
    out.reserve(text.size() + 8);
    for (std::size_t i = 0; i < text.size();) {
        auto c = static_cast<unsigned char>(text[i]);
        if (c < 0x80) {
            switch (c) {
                case '"': out += "\\\""; break;
                case '\\': out += "\\\\"; break;
                case '\b': out += "\\b"; break;
                case '\f': out += "\\f"; break;
                case '\n': out += "\\n"; break;
                case '\r': out += "\\r"; break;
                case '\t': out += "\\t"; break;
                default:
                    if (c < 0x20 || c == '<' || c == '>' || c == '&') {
                        out += "\\u00";
                        out += hex_digits[c >> 4];
                        out += hex_digits[c & 15];
                    } else {
                        out += static_cast<char>(c);
                    }
            }
            ++i;
            continue;
        }
        auto n = utf8_length(text, i);
        if (n == 0) {
            out += "\\ufffd";
            ++i;
            continue;
        }
        auto sequence = text.substr(i, n);
        if (sequence == "\xE2\x80\xA8")
            out += "\\u2028";
        else if (sequence == "\xE2\x80\xA9")
            out += "\\u2029";
        else
            out += sequence;
        i += n;
    }
    return out;
}

std::string go_html_escaped(std::string_view json)
{
    std::string out;
    out.reserve(json.size() + 16);
    for (char c : json) {
        if (c == '<')
            out += "\\u003c";
        else if (c == '>')
            out += "\\u003e";
        else if (c == '&')
            out += "\\u0026";
        else
            out += c;
    }
    return out;
}

std::string go_quoted(std::string_view text)
{
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\')
            out += '\\';
        if (c == '\n') {
            out += "\\n";
        } else if (static_cast<unsigned char>(c) < 0x20) {
            out += "\\x";
            out += hex_digits[static_cast<unsigned char>(c) >> 4];
            out += hex_digits[static_cast<unsigned char>(c) & 15];
        } else {
            out += c;
        }
    }
    return out + '"';
}

void append_rfc3339(std::string& out, civil at)
{
    auto days = floor_div(at.seconds, 86400);
    auto in_day = at.seconds - days * 86400;
    auto date = to_date(days);
    append_padded(out, date.year, 4);
    out += '-';
    append_padded(out, date.month, 2);
    out += '-';
    append_padded(out, date.day, 2);
    out += 'T';
    append_padded(out, in_day / 3600, 2);
    out += ':';
    append_padded(out, in_day / 60 % 60, 2);
    out += ':';
    append_padded(out, in_day % 60, 2);
    if (at.nanos != 0) {
        out += '.';
        append_padded(out, at.nanos, 9);
        while (out.back() == '0')
            out.pop_back();
    }
    out += 'Z';
}

std::string http_date(std::int64_t seconds)
{
    static constexpr std::array<const char*, 7> weekdays{"Thu", "Fri", "Sat", "Sun",
                                                         "Mon", "Tue", "Wed"};
    static constexpr std::array<const char*, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    auto days = floor_div(seconds, 86400);
    auto in_day = seconds - days * 86400;
    auto date = to_date(days);
    std::string out = weekdays[static_cast<std::size_t>(((days % 7) + 7) % 7)];
    out += ", ";
    append_padded(out, date.day, 2);
    out += ' ';
    out += months[date.month - 1];
    out += ' ';
    append_padded(out, date.year, 4);
    out += ' ';
    append_padded(out, in_day / 3600, 2);
    out += ':';
    append_padded(out, in_day / 60 % 60, 2);
    out += ':';
    append_padded(out, in_day % 60, 2);
    return out + " GMT";
}

parsed_duration parse_go_duration(std::string_view text)
{
    auto invalid = [&] { return parsed_duration{{}, "time: invalid duration " + go_quoted(text)}; };
    auto rest = text;
    bool negative = false;
    if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
        negative = rest[0] == '-';
        rest.remove_prefix(1);
    }
    if (rest == "0")
        return {};
    if (rest.empty())
        return invalid();
    long double total = 0;
    while (!rest.empty()) {
        std::size_t i = 0;
        long double value = 0, scale = 1;
        bool digits = false, point = false;
        for (; i < rest.size(); ++i) {
            if (rest[i] >= '0' && rest[i] <= '9') {
                digits = true;
                value = value * 10 + (rest[i] - '0');
                if (point)
                    scale *= 10;
            } else if (rest[i] == '.' && !point) {
                point = true;
            } else {
                break;
            }
        }
        if (!digits)
            return invalid();
        rest.remove_prefix(i);
        auto unit = rest.substr(0, std::min(rest.find_first_of(".0123456789"), rest.size()));
        if (unit.empty())
            return {{}, "time: missing unit in duration " + go_quoted(text)};
        long double nanos = 0;
        if (unit == "ns")
            nanos = 1;
        else if (unit == "us" || unit == "\xC2\xB5s" || unit == "\xCE\xBCs")
            nanos = 1e3L;
        else if (unit == "ms")
            nanos = 1e6L;
        else if (unit == "s")
            nanos = 1e9L;
        else if (unit == "m")
            nanos = 60e9L;
        else if (unit == "h")
            nanos = 3600e9L;
        else
            return {{},
                    "time: unknown unit " + go_quoted(unit) + " in duration " + go_quoted(text)};
        total += value / scale * nanos;
        if (!(total < 9.2233720368547758e18L))
            return invalid();
        rest.remove_prefix(unit.size());
    }
    auto nanos = static_cast<std::int64_t>(total);
    return {std::chrono::nanoseconds(negative ? -nanos : nanos), {}};
}

std::optional<std::uint64_t> parse_size(std::string_view text)
{
    long double value = 0, scale = 1;
    std::size_t i = 0;
    bool digits = false, point = false;
    for (; i < text.size(); ++i) {
        if (text[i] >= '0' && text[i] <= '9') {
            digits = true;
            value = value * 10 + (text[i] - '0');
            if (point)
                scale *= 10;
        } else if (text[i] == '.' && !point) {
            point = true;
        } else {
            break;
        }
    }
    auto unit = lowered(text.substr(i));
    long double factor = 1;
    if (unit == "k" || unit == "kib")
        factor = 1ull << 10;
    else if (unit == "m" || unit == "mib")
        factor = 1ull << 20;
    else if (unit == "g" || unit == "gib")
        factor = 1ull << 30;
    else if (unit == "t" || unit == "tib")
        factor = 1ull << 40;
    else if (unit == "kb")
        factor = 1e3L;
    else if (unit == "mb")
        factor = 1e6L;
    else if (unit == "gb")
        factor = 1e9L;
    else if (!unit.empty() && unit != "b")
        return std::nullopt;
    auto bytes = value / scale * factor;
    if (!digits || !(bytes < 1e18L))
        return std::nullopt;
    return static_cast<std::uint64_t>(bytes);
}

std::string lowered(std::string_view ascii)
{
    std::string out(ascii);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::string_view trimmed(std::string_view text)
{
    auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
    while (!text.empty() && blank(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && blank(text.back()))
        text.remove_suffix(1);
    return text;
}

std::string base64(std::string_view bytes)
{
    std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
    auto n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                             reinterpret_cast<const unsigned char*>(bytes.data()),
                             static_cast<int>(bytes.size()));
    out.resize(static_cast<std::size_t>(n));
    return out;
}

std::string sha256_hex(std::string_view bytes)
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned length = 0;
    EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr);
    std::string out;
    for (unsigned i = 0; i < length; ++i) {
        out += hex_digits[digest[i] >> 4];
        out += hex_digits[digest[i] & 15];
    }
    return out;
}

std::uint64_t fnv1a(std::string_view bytes, std::uint64_t start)
{
    for (char c : bytes)
        start = (start ^ static_cast<unsigned char>(c)) * 1099511628211ull;
    return start;
}

}  // namespace sim
