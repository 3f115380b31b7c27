// Time, as every room speaks of it. Pure files take an `instant` as an argument and never read a
// clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace gateway {

using steady = std::chrono::steady_clock;
using instant = steady::time_point;
using duration = steady::duration;

// Whole milliseconds, for wires and logs.
inline std::int64_t ms(duration d)
{
    return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

inline double seconds(duration d)
{
    return std::chrono::duration<double>(d).count();
}

}  // namespace gateway
