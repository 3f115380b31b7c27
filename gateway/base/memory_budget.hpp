// How much memory bodies and buffers may take together (limits.memory), and who holds how much.
#pragma once

#include <cstdint>
#include <utility>

namespace gateway {

class memory_budget {
public:
    explicit memory_budget(std::uint64_t most) : most_(most) {}

    std::uint64_t used() const { return used_; }
    std::uint64_t most() const { return most_; }
    void set_most(std::uint64_t most) { most_ = most; }

    // A share that grows and shrinks; given back when destroyed.
    class share {
    public:
        explicit share(memory_budget& of) : of_(&of) {}
        share(share&& other) noexcept : of_(other.of_), held_(std::exchange(other.held_, 0)) {}
        share& operator=(share&&) = delete;
        ~share() { of_->used_ -= held_; }

        // Holds exactly `bytes` from now on; false, and nothing changes, when that is more than is
        // left.
        bool hold(std::uint64_t bytes)
        {
            if (bytes > held_ && of_->used_ - held_ + bytes > of_->most_)
                return false;
            of_->used_ += bytes - held_;
            held_ = bytes;
            return true;
        }
        std::uint64_t held() const { return held_; }

    private:
        memory_budget* of_;
        std::uint64_t held_ = 0;
    };

private:
    std::uint64_t most_;
    std::uint64_t used_ = 0;
};

}  // namespace gateway
