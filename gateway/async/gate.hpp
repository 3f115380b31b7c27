// How many are inside, and when the last has left: what shutting down waits for.
#pragma once

#include "async/event.hpp"

#include <cstddef>

namespace gateway {

class gate {
public:
    explicit gate(asio::io_context& io) : emptied_(io) {}

    class pass {
    public:
        explicit pass(gate& g) : gate_(&g) { ++g.inside_; }
        pass(pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
        pass& operator=(pass&&) = delete;
        ~pass()
        {
            if (gate_ != nullptr && --gate_->inside_ == 0)
                gate_->emptied_.tell();
        }

    private:
        gate* gate_;
    };

    std::size_t inside() const { return inside_; }

    // Returns when nobody is inside, or at `deadline`; true when nobody is.
    awaitable<bool> empty(instant deadline)
    {
        while (inside_ != 0 && steady::now() < deadline)
            co_await emptied_.wait_until(deadline);
        co_return inside_ == 0;
    }

private:
    std::size_t inside_ = 0;
    event emptied_;
};

}  // namespace gateway
