// The one clock of the load generator and the origin: both run on one machine, so a stamp that one
// writes can be read by the other.
#pragma once

#include <cstdint>
#include <ctime>

namespace load {

// Nanoseconds of CLOCK_MONOTONIC.
using nanos = std::int64_t;

constexpr nanos microsecond = 1'000;
constexpr nanos millisecond = 1'000'000;
constexpr nanos second = 1'000'000'000;

inline nanos now()
{
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * second + t.tv_nsec;
}

}  // namespace load
