// Small words about text that every room uses. ASCII rules only, no locale: what HTTP and JSON mean
// by "letter" and "space" does not depend on where the program runs. Nothing here throws on bad
// input. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

constexpr char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string to_lower(std::string_view s);

// Without spaces, tabs, CR and LF at either end; a view into `s`.
std::string_view trim(std::string_view s);

// Equal but for the case of ASCII letters.
bool istarts_with(std::string_view s, std::string_view prefix);
inline bool iequals(std::string_view a, std::string_view b)
{
    return a.size() == b.size() && istarts_with(a, b);
}

// The parts between the separators, trimmed, empty ones too: "a,,b" → "a" "" "b"; "" → "". Views
// into `s`.
std::vector<std::string_view> split(std::string_view s, char separator);

// Digits only (no sign, no space), at most `max`; else nullopt.
std::optional<std::uint64_t> parse_uint(std::string_view s, std::uint64_t max = UINT64_MAX);

// "%2F" → "/"; nullopt when a '%' is not followed by two hexadecimal digits. '+' stays '+'.
std::optional<std::string> percent_decode(std::string_view s);

// No overlong forms, no surrogates, nothing past U+10FFFF.
bool is_valid_utf8(std::string_view s);

// `s` with every byte that is no part of valid UTF-8 replaced by U+FFFD.
std::string to_valid_utf8(std::string_view s);

// A JSON string with its quotes, always valid UTF-8: bytes that are not become U+FFFD, control
// characters, quotes and backslashes are escaped.
std::string json_quote(std::string_view s);
void append_json_quoted(std::string& to, std::string_view s);

// How many single-byte insertions, deletions, substitutions and swaps of neighbours make `b` of
// `a`. Costs |a|·|b|: for names people type, so both are cut to their first 128 bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The candidate most like `word`, for "did you mean …"; empty when none is near enough to be meant.
// A view into the candidates.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);
std::string_view nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace gateway
