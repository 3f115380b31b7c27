// Text as Go's standard library writes and reads it: durations, times, JSON string contents. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/base/clock.hpp"

namespace sim {

using gateway::duration;
using gateway::instant;
using gateway::steady;

// Go's math.MaxInt64 nanoseconds: what a negative keep_alive means.
inline constexpr duration forever = duration::max();

// `at + d`, which stays at instant::max() instead of overflowing.
instant later(instant at, duration d);

// The contents of a JSON string as encoding/json writes it: `<`, `>`, `&`, U+2028 and U+2029 are
// escaped, bytes that are not UTF-8 become U+FFFD.
std::string go_escaped(std::string_view text);

// Escapes `<`, `>` and `&` of a whole JSON document: outside of strings JSON has none of them.
std::string go_html_escaped(std::string_view json);

// fmt's %q for the names that occur here.
std::string go_quoted(std::string_view text);

// A point in civil time. `seconds` since the epoch.
struct civil {
    std::int64_t seconds = 0;
    std::int32_t nanos = 0;
};

// RFC 3339 with up to nine decimals, trailing zeros cut, in UTC: time.Time as encoding/json writes
// it.
void append_rfc3339(std::string& out, civil at);

// `Thu, 01 Jan 2026 00:00:00 GMT`
std::string http_date(std::int64_t seconds);

// time.ParseDuration. `error` is Go's own text and empty when the duration is good. What does not
// fit in 64 bits of nanoseconds is an error, as in Go.
struct parsed_duration {
    duration value{};
    std::string error;
};
parsed_duration parse_go_duration(std::string_view text);

// `24GiB`, `500MB`, `1.5G`, `4096`; empty for anything else.
std::optional<std::uint64_t> parse_size(std::string_view text);

std::string lowered(std::string_view ascii);
std::string_view trimmed(std::string_view text);
std::string base64(std::string_view bytes);
std::string sha256_hex(std::string_view bytes);

std::uint64_t fnv1a(std::string_view bytes, std::uint64_t start = 14695981039346656037ull);

// The length of the UTF-8 sequence at `at`, 0 if it is none.
std::size_t utf8_length(std::string_view text, std::size_t at);

}  // namespace sim
