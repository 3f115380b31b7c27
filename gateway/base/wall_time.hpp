// Times of day, as JSON tells them. Pure.
#pragma once

#include "base/clock.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace gateway {

// "2026-11-26T09:33:00Z"
std::string rfc3339(wall_clock::time_point t);
// "2026-11-26T09:33:00.123456Z"
std::string rfc3339_micros(wall_clock::time_point t);

// A time in seconds since 1970 (a system_clock ends in 2262, and Ollama says 2318 for "never"),
// with or without a fraction, with Z or an offset; none when it is no such time.
std::optional<double> parse_rfc3339(std::string_view text);

}  // namespace gateway
