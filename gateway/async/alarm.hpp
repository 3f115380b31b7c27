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
        state_->due = due;
        if (due == instant::max()) {
            if (std::exchange(state_->armed, due) != due)
                state_->timer.cancel();
            return;
        }
        // Put off, as most are again and again, it is looked at when it would have gone off.
        if (due < state_->armed)
            arm(state_);
    }
    void clear() { set(instant::max()); }

private:
    struct state {
        state(asio::io_context& io, std::function<void()> a) : timer(io), act(std::move(a)) {}
        asio::steady_timer timer;
        std::function<void()> act;
        instant due = instant::max();
        instant armed = instant::max();  // what the timer waits for
    };

    static void arm(const std::shared_ptr<state>& s)
    {
        s->armed = s->due;
        s->timer.expires_at(s->due);
        s->timer.async_wait([s](error_code) {
            // An alarm set anew may still be called for its old time: the state decides.
            auto now = steady::now();
            if (!s->act || now < s->armed)
                return;
            s->armed = instant::max();
            if (now < s->due) {
                arm(s);
                return;
            }
            s->due = instant::max();
            auto act = s->act;  // it may destroy this alarm
            act();
        });
    }
    std::shared_ptr<state> state_;
};

}  // namespace gateway
