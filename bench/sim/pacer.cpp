#include "bench/sim/pacer.hpp"

namespace sim {

namespace {

constexpr auto slack = std::chrono::microseconds(250);

}  // namespace

void pacer::at(instant when, paced& who)
{
    if (who.at_ != instant::max()) {
        auto node = schedule_.extract({who.at_, &who});
        node.value().first = when;
        schedule_.insert(std::move(node));
    } else {
        schedule_.emplace(when, &who);
    }
    who.at_ = when;
    if (!firing_ && when < armed_for_)
        arm();
}

void pacer::cancel(paced& who)
{
    if (who.at_ != instant::max())
        schedule_.erase({who.at_, &who});
    who.at_ = instant::max();
}

void pacer::arm()
{
    if (schedule_.empty()) {
        armed_for_ = instant::max();
        return;
    }
    armed_for_ = schedule_.begin()->first;
    timer_.expires_at(armed_for_);
    timer_.async_wait([this](error_code ec) {
        if (!ec)
            fire();
    });
}

void pacer::fire()
{
    firing_ = true;
    auto until = steady::now() + slack;
    // A stream without a rate is due again at once: one round each, then the sockets have their
    // turn.
    auto round = steady::now();
    while (!schedule_.empty() && schedule_.begin()->first <= until) {
        auto now = steady::now();
        auto* next = schedule_.begin()->second;
        schedule_.erase(schedule_.begin());
        next->at_ = instant::max();
        next->due(now);
        if (now - round > std::chrono::milliseconds(2))
            break;
    }
    firing_ = false;
    arm();
}

}  // namespace sim
