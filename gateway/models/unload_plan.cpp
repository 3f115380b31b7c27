// The ladder: ask for the unload, watch the listing at growing intervals, ask again at even ones,
// give up when the time is over.
#include "models/unload_plan.hpp"

#include <algorithm>

namespace gateway {

unload_plan::unload_plan(settings s, instant now)
    : set_(s), begin_(now), end_(now + s.verify_within), list_at_(now + list_first_after)
{
}

unload_plan::step unload_plan::next(instant now)
{
    // However short the time is, it was asked once.
    if (stage_ == stage::unloading && sent_ > 0 && now >= end_)
        end(stage::stuck, end_);
    if (stage_ == stage::gone)
        return {action::declare_gone, *ended_};
    if (stage_ == stage::stuck)
        return {action::declare_stuck, *ended_};

    if (request_out_ && now >= *request_out_)
        replied(reply::no_answer);
    const bool may_ask = !request_out_ && sent_ <= set_.retries;
    if (may_ask && now >= request_due(sent_)) {
        ++sent_;
        request_out_ = std::max(now, std::min(now + request_within, end_));
        return {action::send_unload, *request_out_};
    }
    if (!listing_out_ && now >= list_at_) {
        listing_out_ = true;
        return {action::list, now};
    }
    auto until = end_;
    if (request_out_)
        until = std::min(until, *request_out_);
    if (may_ask)
        until = std::min(until, request_due(sent_));
    if (!listing_out_)
        until = std::min(until, list_at_);
    return {action::wait, until};
}

void unload_plan::replied(reply r)
{
    if (!request_out_)
        return;  // its deadline is over, and that was taken for the answer
    request_out_.reset();
    last_reply_ = r;
}

void unload_plan::listed(listing l, instant now)
{
    if (listing_out_) {
        listing_out_ = false;
        list_at_ = now + list_every_;
        list_every_ = std::min(list_every_ + list_every_ / 2, list_at_most_every);
    }
    // Before the first request is out, a listing says nothing of what it did.
    if (l == listing::without_it && sent_ > 0 && stage_ != stage::gone)
        end(stage::gone, now);
}

void unload_plan::again(instant now)
{
    if (stage_ == stage::stuck)
        *this = unload_plan(set_, now);
}

void unload_plan::probe_answered(instant now)
{
    if (stage_ == stage::stuck)
        end(stage::gone, now);
}

duration unload_plan::took(instant now) const
{
    return ended_.value_or(now) - begin_;
}

void unload_plan::end(stage s, instant now)
{
    healed_ = stage_ == stage::stuck && s == stage::gone;
    stage_ = s;
    ended_ = now;
}

// The first at once, the others spread evenly over the time there is.
instant unload_plan::request_due(unsigned n) const
{
    return begin_ + set_.verify_within / (static_cast<std::int64_t>(set_.retries) + 1) * n;
}

}  // namespace gateway
