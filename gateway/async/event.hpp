// Something that one coroutine waits for and anybody may tell it.
#pragma once

#include "async/alarm.hpp"
#include "async/ready_set.hpp"

#include <optional>

namespace gateway {

class event {
public:
    explicit event(asio::io_context& io) : io_(io), waits_(ready_set::of(io)) {}

    // Wakes the waiter, now or when it comes. Told twice is told once.
    void tell()
    {
        told_ = true;
        waits_.wake();
    }

    // Returns when told, or at `deadline`; true when told. One waiter at a time.
    awaitable<bool> wait_until(instant deadline = instant::max())
    {
        std::optional<alarm> bound;
        if (!told_ && deadline != instant::max()) {
            bound.emplace(io_, [this] { waits_.wake(); });
            bound->set(deadline);
        }
        while (!told_ && (!bound || steady::now() < deadline))
            co_await waits_.wait();
        co_return std::exchange(told_, false);
    }

private:
    asio::io_context& io_;
    ready_set::place waits_;
    bool told_ = false;
};

}  // namespace gateway
