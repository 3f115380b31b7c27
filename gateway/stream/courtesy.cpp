// The clock of a waiting client.
#include "stream/courtesy.hpp"

#include <algorithm>
#include <utility>

namespace gateway {

namespace {

constexpr unsigned comments_between_chunks = 120;
constexpr duration a_little_late = std::chrono::milliseconds(50);

}  // namespace

courtesy::courtesy(telling t, bool at_once, shape s, const settings& with, instant began)
    : telling_(t), at_once_(at_once), shape_(s), settings_(with), began_(began)
{
}

// 0 is none, so never.
instant courtesy::after(instant from, duration d) const
{
    return d > duration::zero() ? from + d : instant::max();
}

void courtesy::queued(instant now)
{
    if (waiting_) {
        return;
    }
    waiting_ = true;
    queued_at_ = now;
    phase_changed(now);
}

void courtesy::running(instant now)
{
    if (waiting_) {
        waiting_ = false;
        phase_changed(now);
    }
}

void courtesy::phase_changed(instant now)
{
    if (committed_ && is_event(telling_)) {
        next_telling_ = now;
    }
}

instant courtesy::next_due() const
{
    if (answered_ || telling_ == telling::silent) {
        return instant::max();
    }
    if (committed_) {
        return next_telling_;
    }
    auto commit = after(began_, settings_.commit_whole);
    if (waits_as_stream()) {
        commit = std::min(commit, at_once_ ? queued_at_ : queued_at_ + settings_.grace);
    }
    return commit;
}

courtesy::act courtesy::due(instant now)
{
    const auto due = next_due();
    if (now < due || due == instant::max()) {
        return act::nothing;
    }
    // What is told a little late every time must not be told less often.
    next_telling_ = after(now - due < a_little_late ? due : now,
                          is_event(telling_) ? settings_.status_interval : settings_.heartbeat);
    if (settings_.chunk_refresh && telling_ == telling::comment &&
        comments_ == comments_between_chunks) {
        comments_ = 0;
        return act::chunk_refresh;
    }
    ++comments_;
    return std::exchange(committed_, true) ? act::tell : act::commit;
}

}  // namespace gateway
