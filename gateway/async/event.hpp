// Something that coroutines wait for and anybody may tell them.
#pragma once

#include "async/alarm.hpp"
#include "async/ready_set.hpp"

#include <optional>

namespace gateway {

class event {
public:
    explicit event(asio::io_context& io) : event(ready_set::of(io)) {}
    explicit event(ready_set& set) : set_(set) {}

    // Wakes all who wait; when nobody does, the next that comes. Told twice is told once.
    void tell()
    {
        told_ = waiting_.empty();
        for (auto& one : waiting_) {
            one.told = true;
            one.here.wake();
        }
    }

    // Returns when told, or at `deadline`; true when told.
    awaitable<bool> wait_until(instant deadline = instant::max())
    {
        if (std::exchange(told_, false))
            co_return true;
        waiter me(set_);
        waiting_.push_back(me);
        std::optional<alarm> bound;
        if (deadline != instant::max()) {
            bound.emplace(set_.get_io_context(), [&me] { me.here.wake(); });
            bound->set(deadline);
        }
        while (!me.told && (!bound || steady::now() < deadline))
            co_await me.here.wait();
        co_return me.told;
    }

private:
    // Stands in its coroutine.
    struct waiter : boost::intrusive::list_base_hook<
                        boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
        explicit waiter(ready_set& set) : here(set) {}
        ready_set::place here;
        bool told = false;
    };

    ready_set& set_;
    boost::intrusive::list<waiter, boost::intrusive::constant_time_size<false>> waiting_;
    bool told_ = false;
};

}  // namespace gateway
