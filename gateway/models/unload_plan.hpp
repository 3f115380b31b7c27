// After a time-out the model is taken out of VRAM, and it is checked that it is gone: what to do
// when, decided without I/O (SPEC §7 "Then"). Pure.
//
// Whoever carries it out asks next() until it says `wait` or a declaration, does what it says (at
// once or in the background, as it likes) and tells what came of it. At most one unload request and
// one listing are out at a time.
#pragma once

#include "base/clock.hpp"

#include <cstdint>
#include <optional>

namespace gateway {

class unload_plan {
public:
    struct settings {
        duration verify_within = std::chrono::seconds(30);
        unsigned retries = 3;  // unload requests after the first
    };

    static constexpr duration request_within = std::chrono::seconds(10);
    static constexpr duration list_first_after = std::chrono::milliseconds(250);
    static constexpr duration list_at_most_every = std::chrono::seconds(2);

    enum class stage : std::uint8_t { unloading, gone, stuck };
    enum class action : std::uint8_t {
        send_unload,    // its deadline is `at`
        list,           // ask /api/ps now
        wait,           // nothing to do before `at`, unless something is told earlier
        declare_gone,   // final
        declare_stuck,  // told for as long as it is: a listing without the model, or a probe, heals
    };
    struct step {
        action what;
        instant at;
        bool operator==(const step&) const = default;
    };
    enum class reply : std::uint8_t { ok, failed, no_answer };
    enum class listing : std::uint8_t { shows_it, without_it, unknown };  // unknown: slow or failed

    unload_plan(settings s, instant now);

    // What is to be done now. Says `send_unload` and `list` once for each.
    step next(instant now);

    // How the unload request ended.
    void replied(reply r);
    // What a listing said, one of this plan or one of reconciliation. An unknown one is never
    // "gone".
    void listed(listing l, instant now);
    // An operator asks for it once more: the whole ladder again. (Only when stuck.)
    void again(instant now);
    // A one-token probe with keep_alive 0 answered: the model works, nothing is stuck. (Only when
    // stuck.)
    void probe_answered(instant now);

    stage at() const { return stage_; }
    bool healed() const { return healed_; }      // it was stuck, and is gone now
    unsigned requests() const { return sent_; }  // unload requests sent
    std::optional<reply> last_reply() const { return last_reply_; }
    // From the beginning until it was gone or stuck (healed: until it was gone); until `now` before
    // that.
    duration took(instant now) const;

private:
    void end(stage s, instant now);
    instant request_due(unsigned n) const;

    settings set_;
    instant begin_;
    instant end_;
    stage stage_ = stage::unloading;
    bool healed_ = false;
    unsigned sent_ = 0;
    std::optional<instant> request_out_;  // its deadline
    std::optional<reply> last_reply_;
    bool listing_out_ = false;
    instant list_at_;
    duration list_every_ = list_first_after;
    std::optional<instant> ended_;
};

}  // namespace gateway
