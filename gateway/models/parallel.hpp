// How many calls of one model an upstream really runs at once, learned from when they start
// (SPEC §5). A stock Ollama (OLLAMA_NUM_PARALLEL=1) runs one per model and queues the rest unseen:
// then calls of it start only as others of it end. One object per upstream and model. Pure.
#pragma once

#include "base/clock.hpp"

#include <cstdint>
#include <map>
#include <optional>

namespace gateway {

class parallel {
public:
    using call_id = std::uint64_t;

    // How long until more than the learned limit is tried again; doubles up to the longest each time
    // that it fails, and is the first again after a success.
    static constexpr duration retry_first = std::chrono::minutes(10);
    static constexpr duration retry_longest = std::chrono::hours(2);

    // A call of the model was sent.
    void sent(call_id c, instant now);
    // Its first byte came: it runs, and did not before. Not for one-piece answers.
    void first_byte(call_id c, instant now);
    // It came to its end. `ran`: how long the model worked on it by Ollama's own account
    // (prompt_eval_duration + eval_duration of a final record), when it told: then it is known when
    // a one-piece call began to run.
    void ended(call_id c, std::optional<duration> ran, instant now);
    // It was aborted, timed out, or failed: says nothing about starts, but its slot is free.
    void dropped(call_id c, instant now);
    // The upstream was restarted, or the model loaded anew: what was learned may no longer hold; it
    // is tried again soon.
    void forget(instant now);

    // 0: nothing learned. Else at most so many at once.
    unsigned limit() const;
    // When limit() will rise by itself (a trial is due); instant::max() when not. Call try_again then.
    instant next_trial() const;
    // Lets one more in than was learned, to see whether it runs beside the others.
    void try_again(instant now);

private:
    // See parallel.cpp for what counts as evidence.
    struct out {
        instant sent;
        std::optional<instant> began;
        unsigned others_at_start = 0;
    };
    std::map<call_id, out> out_;
};

}  // namespace gateway
