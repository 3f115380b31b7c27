// Does something at a given time, unless told otherwise before. No coroutine waits for it.
#pragma once

#include "async/words.hpp"
#include "base/clock.hpp"

#include <functional>
#include <memory>
#include <utility>

namespace gateway {

class alarm {
public:
    alarm(asio::io_context& io, std::function<void()> act)
        : state_(std::make_shared<state>(io, std::move(act)))
    {
    }
    ~alarm()
    {
        state_->act = nullptr;
        state_->timer.cancel();
    }
    alarm(const alarm&) = delete;
    alarm& operator=(const alarm&) = delete;

    // Goes off once, at `due`; instead of the time set before. instant::max(): not at all.
    void set(instant due)
    {
        if (due == state_->due)
            return;
        state_->due = due;
        if (due == instant::max()) {
            state_->timer.cancel();
            return;
        }
        state_->timer.expires_at(due);
        state_->timer.async_wait([s = state_](error_code) {
            // An alarm set anew may still be called for its old time: the state decides.
            if (!s->act || s->due == instant::max() || steady::now() < s->due)
                return;
            s->due = instant::max();
            auto act = s->act;  // it may destroy this alarm
            act();
        });
    }
    void clear() { set(instant::max()); }

private:
    struct state {
        state(asio::io_context& io, std::function<void()> a) : timer(io), act(std::move(a)) {}
        asio::steady_timer timer;
        std::function<void()> act;
        instant due = instant::max();
    };
    std::shared_ptr<state> state_;
};

}  // namespace gateway
