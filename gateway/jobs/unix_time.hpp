// The time of day as jobs keep it, for it must mean the same in the next process.
#pragma once

#include <chrono>
#include <cstdint>

namespace gateway {

inline std::int64_t unix_ms()
{
    auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

}  // namespace gateway
