// Time, as every room speaks of it. Pure files take an `instant` as an argument and never read a
// clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gateway {

using steady = std::chrono::steady_clock;
using instant = steady::time_point;
using duration = steady::duration;

// Whole milliseconds, for wires and logs.
inline std::int64_t ms(duration d)
{
    return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

// "300" or "0.25": seconds for people, without trailing zeros below the millisecond.
inline std::string in_seconds(duration d)
{
    auto text = std::to_string(ms(d) / 1000);
    if (auto rest = ms(d) % 1000; rest != 0)
        text += "." + std::to_string(1000 + rest).substr(1);
    return text;
}

inline double seconds(duration d)
{
    return std::chrono::duration<double>(d).count();
}

}  // namespace gateway
