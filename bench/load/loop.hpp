// A single-threaded epoll loop with nanosecond deadlines: a set of descriptors and a heap of
// deadlines, and nothing that allocates or calls the kernel more often than that needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/load/clock.hpp"

namespace load {

// What the loop tells: a descriptor has something, or a deadline has passed. A source must outlive
// its loop or be forgotten by it (`cancel`, and its descriptor closed) outside of a turn.
class source {
public:
    // May be told without cause (an event of a descriptor closed in the same turn): read and see.
    virtual void ready() {}
    virtual void due() {}

protected:
    ~source() = default;

private:
    friend class loop;
    static constexpr std::size_t nowhere = ~std::size_t{0};
    nanos when_ = 0;
    std::size_t place_ = nowhere;  // in the heap
};

class loop {
public:
    loop();
    ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    // Level-triggered; closing the descriptor ends the watch.
    void watch(int fd, source& who, bool for_writing_too = false);
    void rewatch(int fd, source& who, bool for_writing_too);

    // One deadline per source; a new one replaces the old.
    void at(nanos when, source& who);
    void cancel(source& who);

    // Runs until stop() or, when given, until that moment.
    void run(nanos until = INT64_MAX);
    void stop() { stopped_ = true; }

private:
    void turn(nanos until);
    void place(std::size_t at, source* who);
    void sift_up(std::size_t at);
    void sift_down(std::size_t at);

    int epoll_;
    bool stopped_ = false;
    std::vector<source*> deadlines_;  // binary heap, earliest first
};

// As many descriptors as the hard limit allows.
void raise_descriptor_limit();

}  // namespace load
