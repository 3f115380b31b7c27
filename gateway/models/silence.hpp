// How long a model at an upstream has been silent: a property of the model, not of a call (SPEC
// §7). The clock runs while calls of it are out; every byte and every finished call sets it back, a
// caller that leaves does not, so callers who each lose patience sooner cannot hide a hung model.
// Pure.
//
// Since the last progress, with P the time that a call still present has been out, and L the time
// that only calls were out which have left since:  credit = L / 2,  silent_for = P + credit.
#pragma once

#include "base/clock.hpp"
#include "models/calls_out.hpp"

#include <cstddef>
#include <cstdint>

namespace gateway {

class silence {
public:
    using call_id = std::uint64_t;  // who starts later has a greater one

    // After so long without any call the time of those who left is forgotten: Ollama unloads a
    // model that nobody asked for 5 minutes, so what was silent then is probably not what runs now.
    static constexpr duration forgets_after = std::chrono::minutes(10);

    // A call of this model goes out; `limit` is how long it lets the model be silent, zero: for
    // ever.
    void started(call_id c, duration limit, instant now);
    // Its limit changes (first_byte → idle).
    void limit(call_id c, duration limit);
    // A byte of it came.
    void progressed(call_id c, instant now);
    // It came to its end: the model works.
    void finished(call_id c, instant now);
    // Its client left, or it failed for a reason that says nothing of the model.
    void left(call_id c, instant now);
    // It was ended as timed out, and what follows from that is under way. Its time and the leavers'
    // are spent: kept, they would leave the next call ever less time, at last none, in which the
    // model could show that it works again. The clock of those present goes on.
    void expired(call_id c, instant now);

    // How long the model has been silent: time since the last progress during which a present call
    // was out, plus half the time that only callers who have left since were out.
    duration silent_for(instant now) const;

    // Should this call end as timed out now? Its own silence plus the leavers' credit has reached
    // its limit, and so has the model's.
    bool timed_out(call_id c, instant now) const;
    // When to look at this call again (instant::max(): not before its limit changes). Not later
    // than timed_out becomes true if nobody else leaves; if others do, at most a sixteenth of the
    // limit later.
    instant look_again(call_id c, instant now) const;

    bool idle() const { return out_.empty(); }
    std::size_t out() const { return out_.size(); }
    // Has another call of this model, out or ended since, had a byte or its end after `since`?
    // Tells a slow model from a hung one.
    bool others_progressed(call_id c, instant since) const;

private:
    struct one {
        instant started;
        instant last;  // its last byte, or its start
        duration limit;
    };
    struct progress {
        call_id by = 0;
        instant at = instant::min();
    };
    // Since the last progress, at an instant.
    struct reading {
        duration present;  // P
        duration leavers;  // L
    };

    void progress_by(call_id c, instant now);
    void remove(calls_out<one>::iterator at, instant now);
    reading read(instant now) const;

    calls_out<one> out_;
    progress newest_;         // the last progress
    progress newest_other_;   // the last by another call than that
    duration busy_before_{};  // since the last progress, time with a call out, before busy_since_
    instant busy_since_{};    // while calls are out
    instant idle_since_{};    // while none is
};

}  // namespace gateway
