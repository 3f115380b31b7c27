// For each model what is loaded, how many calls of it run and how many wait: three different
// things, counted from the live objects.
#pragma once

#include "base/clock.hpp"
#include "exchange/exchange.hpp"

#include <string>
#include <vector>

namespace gateway {

struct model_count {
    std::string name;
    std::string state;
    bool loaded = false;
    std::size_t running = 0;
    std::size_t waiting = 0;
    std::uint64_t size_vram = 0;
    std::string expires_at;
    double silence_s = 0;
};

// Models that are loaded, or that a call runs or waits for.
std::vector<model_count> model_counts(const site& at, instant now);

}  // namespace gateway
