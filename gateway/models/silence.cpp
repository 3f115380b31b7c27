// The time that only leavers covered is not kept as such. Time with any call out is counted (busy);
// those present cover it from the earliest of their starts until now; the rest was the leavers'.
#include "models/silence.hpp"

#include <algorithm>

namespace gateway {

void silence::started(call_id c, duration limit, instant now)
{
    if (out_.empty()) {
        if (now - idle_since_ >= forgets_after)
            busy_before_ = {};
        busy_since_ = now;
    }
    out_.put(c, one{now, now, limit});
}

void silence::limit(call_id c, duration limit)
{
    if (const auto at = out_.find(c); at != out_.end())
        at->second.limit = limit;
}

void silence::progressed(call_id c, instant now)
{
    const auto at = out_.find(c);
    if (at == out_.end())
        return;
    at->second.last = now;
    progress_by(c, now);
}

void silence::finished(call_id c, instant now)
{
    const auto at = out_.find(c);
    if (at == out_.end())
        return;
    progress_by(c, now);
    remove(at, now);
}

void silence::left(call_id c, instant now)
{
    if (const auto at = out_.find(c); at != out_.end())
        remove(at, now);
}

void silence::expired(call_id c, instant now)
{
    const auto at = out_.find(c);
    if (at == out_.end())
        return;
    remove(at, now);
    busy_since_ = now - read(now).present;
    busy_before_ = {};
}

void silence::progress_by(call_id c, instant now)
{
    if (newest_.by != c)
        newest_other_ = newest_;
    newest_ = {c, now};
    busy_before_ = {};
    busy_since_ = now;
}

void silence::remove(calls_out<one>::iterator at, instant now)
{
    out_.erase(at);
    if (out_.empty()) {
        busy_before_ += now - busy_since_;
        idle_since_ = now;
    }
}

silence::reading silence::read(instant now) const
{
    if (out_.empty())
        return {{}, now - idle_since_ >= forgets_after ? duration{} : busy_before_};
    const auto since = out_.begin()->second.started;
    const auto present = now - std::max(since, busy_since_);
    return {present, busy_before_ + (now - busy_since_) - present};
}

duration silence::silent_for(instant now) const
{
    const auto r = read(now);
    return r.present + r.leavers / 2;
}

bool silence::timed_out(call_id c, instant now) const
{
    const auto at = out_.find(c);
    if (at == out_.end() || at->second.limit <= duration::zero())
        return false;
    const auto r = read(now);
    const auto own = now - at->second.last;
    return std::min(own, r.present) + r.leavers / 2 >= at->second.limit;
}

instant silence::look_again(call_id c, instant now) const
{
    const auto at = out_.find(c);
    if (at == out_.end() || at->second.limit <= duration::zero())
        return instant::max();
    const auto limit = at->second.limit;
    const auto r = read(now);
    const auto own = now - at->second.last;
    const auto left = limit - std::min(own, r.present) - r.leavers / 2;
    if (left <= duration::zero())
        return now;
    // If all the others left this instant, their time would become credit for this call.
    const auto alone = now - std::max(at->second.started, busy_since_);
    const auto left_if_alone = limit - (r.present + r.leavers + alone) / 2;
    return now + std::min(left, std::max(left_if_alone, limit / 16));
}

bool silence::others_progressed(call_id c, instant since) const
{
    const auto& other = newest_.by == c ? newest_other_ : newest_;
    return other.at > since;
}

}  // namespace gateway
