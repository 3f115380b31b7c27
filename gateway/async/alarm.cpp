#include "async/alarm.hpp"

#include <algorithm>
#include <utility>

namespace gateway {

alarm::alarm(alarms& all, std::function<void()> act) : all_(all), act_(std::move(act)) {}

alarm::alarm(asio::io_context& io, std::function<void()> act)
    : alarm(asio::use_service<alarms>(io), std::move(act))
{
}

alarm::~alarm()
{
    leave();
}

void alarm::leave()
{
    if (!is_linked())
        return;
    unlink();
    all_.left();
}

void alarm::set(instant due)
{
    due_ = due;
    if (due == instant::max()) {
        leave();
        return;
    }
    // Put off, as most are again and again, it is looked at when it would have gone off.
    if (is_linked() && looked_at_ <= due)
        return;
    if (is_linked())
        unlink();
    all_.stand(*this, due);
}

alarms::alarms(asio::io_context& io) : asio::io_context::service(io), timer_(io) {}

alarms::~alarms() = default;

void alarms::stand(alarm& a, instant due)
{
    if (down_)
        return;
    a.looked_at_ = std::max(due, not_before_);
    all_.insert(a);
    arm();
}

void alarms::left()
{
    if (!all_.empty() || armed_ == instant::max() || down_)
        return;
    armed_ = instant::max();
    timer_.cancel();
}

void alarms::arm()
{
    if (all_.empty() || down_)
        return;
    auto first = all_.begin()->looked_at_;
    if (first >= armed_)
        return;
    armed_ = first;
    timer_.expires_at(first);
    timer_.async_wait([this](error_code) {
        // One that was set anew is still called for its old time.
        if (steady::now() >= armed_)
            go_off();
    });
}

void alarms::go_off()
{
    struct armed_again {
        alarms& all;
        ~armed_again()
        {
            all.not_before_ = {};
            all.armed_ = instant::max();
            all.arm();
        }
    } at_the_end{*this};
    const auto now = steady::now();
    not_before_ = now + duration(1);
    while (!all_.empty() && all_.begin()->looked_at_ <= now) {
        auto& first = *all_.begin();
        first.unlink();
        if (first.due_ > now) {
            stand(first, first.due_);
            continue;
        }
        first.due_ = instant::max();
        auto act = first.act_;  // it may destroy its alarm
        act();
    }
}

void alarms::shutdown()
{
    if (std::exchange(down_, true))
        return;
    all_.clear();
    timer_.cancel();
}

}  // namespace gateway
