// Durations and sizes as people write them in the configuration. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

// "300s", "5m", "250ms", "2h30m", "30d": whole numbers with the units d h m s ms, each at most
// once, the larger before the smaller. At most a hundred years. nullopt when it is none of these.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

// In one unit, the largest that holds it exactly: "5m", "130s", "250ms", "0s".
std::string format_duration(std::chrono::milliseconds d);

// Bytes: "24GiB", "64MiB", "8KiB", "1GB", "512B", "65536". B KB MB GB TB (thousands), KiB MiB GiB
// TiB. nullopt when it is none of these or more than 2^63 bytes.
std::optional<std::uint64_t> parse_size(std::string_view text);

// In the largest unit that holds it exactly: "64MiB", "1GB", "1000B".
std::string format_size(std::uint64_t bytes);

}  // namespace gateway
