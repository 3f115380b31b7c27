#include "admission/admission.hpp"

namespace gateway {

permit::permit(admission& at, visitor v)
    : at_(at), arrival_(at.order_.arrive(std::move(v), steady::now()))
{
    granted_ = arrival_.what == turnstile::answer::granted;
    if (arrival_.what == turnstile::answer::waiting) {
        woken_.emplace(at_.io_);
        at_.waiting_.emplace(arrival_.id, this);
    }
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
    at_.wake();
}

awaitable<void> permit::turn(stop& s)
{
    stop::hook on_stop(s, [this] { woken_->tell(); });
    while (!granted_ && !given_up_ && !s.requested())
        co_await woken_->wait_until();
}

void permit::give_up()
{
    given_up_ = true;
    if (woken_)
        woken_->tell();
}

std::size_t permit::position() const
{
    return granted_ || arrival_.id == 0 ? 0 : at_.order_.position(arrival_.id);
}

std::optional<duration> permit::eta(instant now) const
{
    return arrival_.id == 0 ? std::nullopt : at_.order_.eta(arrival_.id, now);
}

void permit::finish(std::optional<duration> service)
{
    if (!granted_)
        return;
    granted_ = false;
    at_.order_.finish(std::exchange(arrival_.id, 0), service);
    at_.wake();
}

void permit::put_back()
{
    if (!granted_)
        return;
    granted_ = false;
    if (!woken_)
        woken_.emplace(at_.io_);
    at_.order_.put_back(arrival_.id);
    at_.waiting_.emplace(arrival_.id, this);
    at_.wake();
}

void admission::wake()
{
    auto now = steady::now();
    while (auto ticket = order_.next(now)) {
        auto found = waiting_.find(*ticket);
        auto* p = found->second;
        waiting_.erase(found);
        p->granted_ = true;
        p->woken_->tell();
    }
}

void admission::set_limits(turnstile::limits l)
{
    order_.set_limits(l);
    wake();
}

void admission::limit_model(std::string_view model, unsigned n)
{
    order_.limit_model(model, n);
    wake();
}

void admission::open(bool is_open)
{
    order_.open(is_open);
    wake();
}

void admission::block(std::string_view model)
{
    order_.block(model);
}

void admission::unblock(std::string_view model)
{
    order_.unblock(model);
    wake();
}

}  // namespace gateway
