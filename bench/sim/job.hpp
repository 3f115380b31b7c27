// What a request has been understood to want, and how its answer is to be said.
#pragma once

#include <memory>

#include "bench/sim/dialect.hpp"
#include "bench/sim/scheduler.hpp"

namespace sim {

struct job {
    want wanted;
    std::unique_ptr<dialect> says;
    bool load_only = false;  // no prompt, no messages: load the model and say so
    bool stream = false;
    bool embeds = false;  // no tokens; says->whole() knows the vectors
    int turns = 1;        // slots it takes: one per embedded input
    int tokens = 0;
    bool limited = false;  // `tokens` is what the client asked for: done_reason is length
    int prompt_tokens = 0;
    std::uint64_t seed = 0;
};

}  // namespace sim
