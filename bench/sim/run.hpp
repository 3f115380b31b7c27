// The life of a call that needs a model: scheduler, slot, prompt, tokens; and every fault on the
// way.
#pragma once

#include <memory>
#include <string>

#include "bench/sim/connection.hpp"
#include "bench/sim/dialect.hpp"

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

awaitable<void> run(connection& c, job j);

// A fault in place of the answer. `says` may be null: then errors have the native shape.
awaitable<void> strike_before(connection& c, const fault& f, const dialect* says);
// A fault in how the answer comes: before it begins, and when it has ended.
void apply_manner(connection& c, const fault& f);
void finish_manner(connection& c, const std::optional<fault>& f);

}  // namespace sim
