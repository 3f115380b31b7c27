// Who of those that run jobs of one store is alive: each holds a lock on a byte of its own in a
// file beside the store, which the kernel lets go of when the process ends, however it ends.
// (SQLite's WAL needs all processes on one machine, so these locks reach as far as the store does.)
#pragma once

#include <cstdint>
#include <string>

namespace gateway {

class runner_locks {
public:
    // Without such a file (it cannot be made) everybody counts as alive: heartbeats must do.
    explicit runner_locks(const std::string& store);
    ~runner_locks();
    runner_locks(const runner_locks&) = delete;
    runner_locks& operator=(const runner_locks&) = delete;

    bool hold(std::int64_t runner);
    // Not for one's own.
    bool alive(std::int64_t runner) const;

private:
    int fd_;
};

}  // namespace gateway
