// The words of text.hpp.
#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace gateway {

namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD

int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char l = to_lower(c);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

constexpr std::uint64_t in_each_byte(std::uint8_t b)
{
    return 0x0101010101010101ull * b;
}

// Eight bytes of each: do they differ in nothing but the bit between a capital and a small letter,
// and only where there are letters?
bool are_equal_but_for_case(const char* a, const char* b)
{
    std::uint64_t bytes = 0;
    std::uint64_t others = 0;
    std::memcpy(&bytes, a, sizeof bytes);
    std::memcpy(&others, b, sizeof others);
    const std::uint64_t differs = bytes ^ others;
    if (differs == 0 || (differs & ~in_each_byte(0x20)) != 0) {
        return differs == 0;
    }
    // In these the high bit of each byte says what the byte is.
    const std::uint64_t small = (bytes | in_each_byte(0x20)) & in_each_byte(0x7f);
    const std::uint64_t from_a = small + in_each_byte(0x80 - 'a');
    const std::uint64_t above_z = small + in_each_byte(0x80 - 'z' - 1);
    const std::uint64_t letters = from_a & ~above_z & ~bytes & in_each_byte(0x80);
    return (differs & ~(letters >> 2)) == 0;
}

// The length of the valid sequence at the front of `s`, 0 when there is none (Unicode table 3-7).
std::size_t utf8_sequence(std::string_view s)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    const auto between = [&](std::size_t i, unsigned low, unsigned high) {
        return i < s.size() && byte(i) >= low && byte(i) <= high;
    };
    const unsigned first = byte(0);
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xC2 && first <= 0xDF) {
        return between(1, 0x80, 0xBF) ? 2 : 0;
    }
    if (first >= 0xE0 && first <= 0xEF) {
        const unsigned low = first == 0xE0 ? 0xA0 : 0x80;
        const unsigned high = first == 0xED ? 0x9F : 0xBF;  // no surrogates
        return between(1, low, high) && between(2, 0x80, 0xBF) ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        const unsigned low = first == 0xF0 ? 0x90 : 0x80;
        const unsigned high = first == 0xF4 ? 0x8F : 0xBF;
        return between(1, low, high) && between(2, 0x80, 0xBF) && between(3, 0x80, 0xBF) ? 4 : 0;
    }
    return 0;
}

template <class Candidates>
std::string_view nearest_of(std::string_view word, const Candidates& candidates)
{
    const std::string wanted = to_lower(word);
    std::string_view best;
    std::size_t best_distance = wanted.size() / 3 + 2;  // this far is another word
    for (const std::string_view candidate : candidates) {
        const std::size_t d = edit_distance(wanted, to_lower(candidate));
        if (d < best_distance && d < candidate.size()) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}

}  // namespace

std::string to_lower(std::string_view s)
{
    std::string lower(s);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return to_lower(c); });
    return lower;
}

std::string_view trim(std::string_view s)
{
    constexpr std::string_view space = " \t\r\n";
    const auto begin = s.find_first_not_of(space);
    if (begin == std::string_view::npos) {
        return {};
    }
    return s.substr(begin, s.find_last_not_of(space) - begin + 1);
}

bool istarts_with(std::string_view s, std::string_view prefix)
{
    if (s.size() < prefix.size()) {
        return false;
    }
    const char* const a = s.data();
    const char* const b = prefix.data();
    if (prefix.size() < 8) {
        return std::equal(a, a + prefix.size(), b,
                          [](char x, char y) { return to_lower(x) == to_lower(y); });
    }
    // Eight at a time; the last eight may be some of those before.
    const std::size_t last = prefix.size() - 8;
    for (std::size_t at = 0; at < last; at += 8) {
        if (!are_equal_but_for_case(a + at, b + at)) {
            return false;
        }
    }
    return are_equal_but_for_case(a + last, b + last);
}

std::vector<std::string_view> split(std::string_view s, char separator)
{
    std::vector<std::string_view> parts;
    for (;;) {
        const auto at = s.find(separator);
        parts.push_back(trim(s.substr(0, at)));
        if (at == std::string_view::npos) {
            return parts;
        }
        s.remove_prefix(at + 1);
    }
}

std::optional<std::uint64_t> parse_uint(std::string_view s, std::uint64_t max)
{
    if (s.empty()) {
        return std::nullopt;
    }
    const std::uint64_t most = max / 10;  // more than this takes no further digit
    std::uint64_t value = 0;
    for (const char c : s) {
        if (c < '0' || c > '9' || value > most) {
            return std::nullopt;
        }
        const auto digit = static_cast<std::uint64_t>(c - '0');
        value *= 10;
        if (digit > max - value) {
            return std::nullopt;
        }
        value += digit;
    }
    return value;
}

std::optional<std::string> percent_decode(std::string_view s)
{
    std::string decoded;
    decoded.reserve(s.size());
    for (;;) {
        const auto percent = std::min(s.find('%'), s.size());
        decoded += s.substr(0, percent);
        s.remove_prefix(percent);
        if (s.empty()) {
            return decoded;
        }
        const int high = s.size() > 2 ? hex_digit(s[1]) : -1;
        const int low = s.size() > 2 ? hex_digit(s[2]) : -1;
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        decoded += static_cast<char>(high * 16 + low);
        s.remove_prefix(3);
    }
}

bool is_valid_utf8(std::string_view s)
{
    while (!s.empty()) {
        const std::size_t n = utf8_sequence(s);
        if (n == 0) {
            return false;
        }
        s.remove_prefix(n);
    }
    return true;
}

std::string to_valid_utf8(std::string_view s)
{
    std::string valid;
    valid.reserve(s.size());
    while (!s.empty()) {
        const std::size_t n = utf8_sequence(s);
        valid += n == 0 ? replacement : s.substr(0, n);
        s.remove_prefix(std::max<std::size_t>(n, 1));
    }
    return valid;
}

void append_json_quoted(std::string& to, std::string_view s)
{
    constexpr std::string_view hex = "0123456789abcdef";
    to += '"';
    while (!s.empty()) {
        // Most texts are nothing but this.
        const auto plain = static_cast<std::size_t>(
            std::find_if(s.begin(), s.end(),
                         [](char c) { return c < ' ' || c == 0x7F || c == '"' || c == '\\'; }) -
            s.begin());
        to += s.substr(0, plain);
        s.remove_prefix(plain);
        if (s.empty()) {
            break;
        }
        const std::size_t n = utf8_sequence(s);
        const auto c = static_cast<unsigned char>(s.front());
        if (n == 0) {
            to += replacement;
        } else if (n > 1) {
            to += s.substr(0, n);
        } else if (c == '"' || c == '\\') {
            to += '\\';
            to += s.front();
        } else if (c == '\n') {
            to += "\\n";
        } else if (c == '\t') {
            to += "\\t";
        } else if (c == '\r') {
            to += "\\r";
        } else if (c < 0x20 || c == 0x7F) {
            to += "\\u00";
            to += hex[c >> 4];
            to += hex[c & 15];
        }
        s.remove_prefix(std::max<std::size_t>(n, 1));
    }
    to += '"';
}

std::string json_quote(std::string_view s)
{
    std::string quoted;
    quoted.reserve(s.size() + 2);
    append_json_quoted(quoted, s);
    return quoted;
}

std::size_t edit_distance(std::string_view a, std::string_view b)
{
    constexpr std::size_t longest = 128;
    a = a.substr(0, longest);
    b = b.substr(0, longest);
    // Three rows of the optimal string alignment table: the one before last is for swaps.
    std::array<std::size_t, longest + 1> before{}, last{}, now{};
    for (std::size_t j = 0; j <= b.size(); ++j) {
        last[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = a[i - 1] == b[j - 1];
            now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                now[j] = std::min(now[j], before[j - 2] + 1);
            }
        }
        before = last;
        last = now;
    }
    return last[b.size()];
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates)
{
    return nearest_of(word, candidates);
}

std::string_view nearest(std::string_view word, const std::vector<std::string>& candidates)
{
    return nearest_of(word, candidates);
}

}  // namespace gateway
