// How many calls of one model an upstream really runs at once, learned from when they start
// (SPEC §5). A stock Ollama (OLLAMA_NUM_PARALLEL=1) runs one per model and queues the rest unseen,
// first come, first served: then calls of it start only as others of it end. One object per
// upstream and model. Pure.
#pragma once

#include "base/clock.hpp"
#include "models/calls_out.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <optional>

namespace gateway {

class parallel {
public:
    using call_id = std::uint64_t;

    // How long until more than the learned limit is tried again; doubles up to the longest each
    // time that it fails, and is the first again after a success.
    static constexpr duration retry_first = std::chrono::minutes(10);
    static constexpr duration retry_longest = std::chrono::hours(2);
    // The same after forget(): it may come with every load, and a trial may make a call wait
    // unseen.
    static constexpr duration retry_forgotten = std::chrono::minutes(1);

    // A call of the model was sent, to its last byte: only then does Ollama put it into its queue.
    void sent(call_id c, instant now);
    // Its first byte came: it runs; Ollama shows no byte before. Not for one-piece answers.
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
    unsigned limit() const { return limit_ == 0 ? 0 : limit_ + (trying_ ? 1 : 0); }
    // When limit() will rise by itself (a trial is due); instant::max() when not. Call try_again
    // then.
    instant next_trial() const { return limit_ == 0 || trying_ ? instant::max() : next_trial_; }
    // Lets one more in than was learned, to see whether it runs beside the others.
    void try_again(instant now);

private:
    struct one {
        instant sent;
        std::optional<instant> began;  // the earliest that is known of
        instant end = instant::max();
        bool with_room = false;  // when it was sent there was a free slot, for all that is known
        bool timed = false;      // `began` is by Ollama's account
        bool counted = false;    // whom it began beside has been looked at
        bool dropped = false;
        bool used = false;  // a later call's start was laid to its end
    };
    // More slots than this are not learned about.
    static constexpr unsigned most = 32;

    template <class Visit>
    void each(Visit visit) const;
    void look(instant now);
    void count(one& c, instant now);
    void look_back(one& c, instant now);
    unsigned began_beside(const one& c, instant now) const;
    void claim(const one& c, instant now);
    void speaks_for(unsigned slots, double weight, instant now);
    void speaks_against(unsigned slots);
    void run_at_once(unsigned calls);
    void run_at_once_with(const one& c, instant now);
    void over(calls_out<one>::iterator at, one done, instant now);
    void remember(const one& c);
    void unlearn();

    calls_out<one> out_;
    std::deque<one> gone_;          // as they ended; those that are still needed, and some more
    std::size_t since_tidied_ = 0;  // so many have been added
    std::deque<duration> prompts_;  // from sending to first byte of calls with room, the last few

    // [k]: what speaks for at most k slots, since a call said that there are more
    std::array<double, most + 1> for_{};
    // [k]: calls that said that there are more than k
    std::array<unsigned, most + 1> against_{};

    instant looked_{};
    // More are seen to run than is learned about: nobody's end adds anything to that.
    bool all_said_ = false;

    unsigned limit_ = 0;
    bool trying_ = false;
    duration retry_ = retry_first;
    instant next_trial_ = instant::max();
};

}  // namespace gateway
