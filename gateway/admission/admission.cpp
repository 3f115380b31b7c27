#include "admission/admission.hpp"

#include <utility>

namespace gateway {

permit::permit(admission& at, visitor v)
    : at_(at), arrival_(at.order_.arrive(v, steady::now())), lane_(std::move(v.lane))
{
    granted_ = arrival_.what == turnstile::answer::granted;
    if (arrival_.what == turnstile::answer::waiting)
        begin_to_wait();
    if (arrival_.id != 0)
        at_.changed();
}

permit::~permit()
{
    if (arrival_.id == 0)
        return;
    if (granted_) {
        finish(std::nullopt);
        return;
    }
    at_.waiting_.erase(arrival_.id);
    at_.order_.leave(arrival_.id);
    at_.changed();
    at_.wake();
}

void permit::begin_to_wait()
{
    if (!woken_)
        woken_.emplace(at_.ready_);
    at_.waiting_.emplace(arrival_.id, this);
}

awaitable<void> permit::turn(stop& s)
{
    stop::hook on_stop(s, [this] { wake(); });
    while (!granted_ && !given_up_ && !news_ && !s.requested())
        co_await woken_->wait_until();
}

void permit::wake()
{
    if (woken_)
        woken_->tell();
}

void permit::give_up()
{
    given_up_ = true;
    wake();
}

std::unique_ptr<bad_news> permit::take_news()
{
    return std::move(news_);
}

std::size_t permit::position() const
{
    return granted_ || arrival_.id == 0 ? 0 : at_.order_.position(arrival_.id, steady::now());
}

std::optional<duration> permit::eta(instant now) const
{
    return arrival_.id == 0 ? std::nullopt : at_.order_.eta(arrival_.id, now);
}

bool permit::finish(std::optional<duration> service)
{
    if (!granted_)
        return false;
    granted_ = false;
    direct_is_over();
    at_.order_.finish(std::exchange(arrival_.id, 0), service);
    const bool any = at_.wake();  // who goes now goes before all that follows from it
    at_.changed();
    return any;
}

void permit::put_back()
{
    if (!granted_)
        return;
    stand_in_front();
    at_.changed();
    at_.wake();
}

void permit::stand_in_front()
{
    granted_ = false;
    direct_is_over();
    at_.order_.put_back(arrival_.id);
    begin_to_wait();
}

void permit::direct_is_over()
{
    if (std::exchange(directly_, false) && at_.direct_over_)
        at_.direct_over_(arrival_.place);
}

void permit::move(lane_key to)
{
    if (arrival_.id == 0)
        return;
    if (granted_)
        stand_in_front();
    lane_ = std::move(to);
    news_.reset();
    given_up_ = false;
    at_.order_.move(arrival_.id, lane_);
    at_.changed();
    at_.wake();
}

bool admission::wake()
{
    const auto now = steady::now();
    bool any = false;
    for (; const auto next = order_.next(now); any = true)
        granted(next->id, next->place, false);
    return any;
}

void admission::granted(turnstile::ticket t, place_id p, bool directly)
{
    const auto found = waiting_.find(t);
    auto* to = found->second;
    waiting_.erase(found);
    to->arrival_.place = p;
    to->granted_ = true;
    to->directly_ = directly;
    to->news_.reset();
    to->wake();
    changed();
}

void admission::let_in(turnstile::ticket t, place_id p)
{
    if (order_.let_in(t, p, steady::now())) {
        granted(t, p, true);
        wake();
    }
}

void admission::tell(const lane_key& lane, const bad_news& news)
{
    for (auto& [ticket, waits] : waiting_) {
        if (waits->lane_ == lane) {
            waits->news_ = std::make_unique<bad_news>(news);
            waits->wake();
        }
    }
}

void admission::set_limits(turnstile::limits l)
{
    order_.set_limits(l);
    wake();
}

void admission::set_capacity(place_id p, unsigned permits)
{
    order_.set_capacity(p, permits);
    wake();
}

void admission::limit_model(place_id p, std::string_view model, unsigned n)
{
    order_.limit_model(p, model, n);
    wake();
}

void admission::open(place_id p, bool is_open)
{
    order_.open(p, is_open);
    wake();
}

}  // namespace gateway
