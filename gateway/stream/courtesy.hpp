// When a waiting client is told something: the clock of SPEC §6. What it is told is in frames.hpp;
// here is only whether now is the time. Pure.
#pragma once

#include "base/clock.hpp"
#include "call/kinds.hpp"
#include "stream/frames.hpp"

#include <cstdint>

namespace gateway {

// One call's. Whoever carries it out calls due() when next_due() has come and after every change
// told here, does what it says, and sleeps until next_due().
class courtesy {
public:
    struct settings {
        duration grace{};            // a call that queues gets nothing for so long
        duration commit_whole{};     // nothing from upstream by then: committed; 0: never
        duration status_interval{};  // between two events
        duration heartbeat{};        // between two heartbeats; 0: only the first one
        // chat_completions and completions told by comments: go-openai gives up after 300 lines in
        // a row that are no data (clients.md §0.5), so an empty chunk stands in for every 120th
        // comment: each 20 minutes at a heartbeat of 10 s.
        bool chunk_refresh = false;
    };

    enum class act : std::uint8_t {
        nothing,
        commit,         // the head, and the first telling in the same write
        tell,           // one telling
        chunk_refresh,  // an empty chunk (empty_chunk_frame) in its place
    };

    // `at_once`: the client asked for events. `began`: when the call came.
    courtesy(telling t, bool at_once, shape s, const settings& with, instant began);

    // It must wait in the queue; again after running(), when it was put back.
    void queued(instant now);
    // It has its permit. Not committed by now, it is plain proxying until commit_whole.
    void running(instant now);
    // Its status is another one (a load begins): who asked for events is told at once.
    void phase_changed(instant now);
    // The upstream has answered: nothing is told any more.
    void upstream_answered() { answered_ = true; }

    // What is to be done now; it counts as done.
    act due(instant now);
    // instant::max(): never, as things stand.
    instant next_due() const;
    bool committed() const { return committed_; }

private:
    bool waits_as_stream() const { return waiting_ && shape_ != shape::one_piece; }
    instant after(instant from, duration d) const;

    telling telling_;
    bool at_once_;
    shape shape_;
    settings settings_;
    instant began_;
    instant queued_at_{};
    instant next_telling_ = instant::max();
    unsigned comments_ = 0;  // since the last data
    bool waiting_ = false;
    bool committed_ = false;
    bool answered_ = false;
};

}  // namespace gateway
