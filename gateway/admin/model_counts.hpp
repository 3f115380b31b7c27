// For each model what is loaded, how many calls of it run and how many wait: three different
// things, counted from the live objects.
#pragma once

#include "admission/admission.hpp"
#include "base/clock.hpp"
#include "models/fleet.hpp"

#include <string>
#include <vector>

namespace gateway {

struct model_count {
    std::string name;
    std::string upstream;
    model_state state = model_state::absent;
    unsigned learned = 0;  // how many of it the upstream runs at once; 0: not known
    bool loaded = false;
    std::size_t running = 0;
    std::size_t waiting = 0;  // for it, wherever it will run
    std::uint64_t size_vram = 0;
    std::string expires_at;
    double silence_s = 0;
};

// What the pages are told from.
struct live_rooms {
    const fleet& upstreams;
    const admission& generations;
    const admission& embeddings;
};

// Models that are loaded or about to be, or that a call runs or waits for, per upstream.
std::vector<model_count> model_counts(const live_rooms& from, instant now);
// The same over all upstreams: one each, loaded if it is so anywhere.
std::vector<model_count> model_totals(const live_rooms& from, instant now);

}  // namespace gateway
