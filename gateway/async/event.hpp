// Something that one coroutine waits for and anybody may tell it: a timer that never ends by
// itself.
#pragma once

#include "async/words.hpp"
#include "base/clock.hpp"

namespace gateway {

class event {
public:
    explicit event(asio::io_context& io) : timer_(io, instant::max()) {}

    // Wakes the waiter, now or when it comes. Told twice is told once.
    void tell()
    {
        told_ = true;
        timer_.cancel();
    }

    // Returns when told, or at `deadline`; true when told. One waiter at a time.
    awaitable<bool> wait_until(instant deadline = instant::max())
    {
        while (!told_ && steady::now() < deadline) {
            timer_.expires_at(deadline);
            co_await timer_.async_wait(as_result);
        }
        co_return std::exchange(told_, false);
    }

private:
    asio::steady_timer timer_;
    bool told_ = false;
};

}  // namespace gateway
