// The last hour in steps of ten seconds, for the charts of the dashboard: how calls ended, how long
// they waited, how deep the queue was. Bounded: some 100 KB, whatever the load. Pure.
#pragma once

#include "base/clock.hpp"
#include "telemetry/record.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace gateway {

// Times in classes that grow by a fifth: quantiles of what fell into a step, without keeping it.
class spread {
public:
    void add(std::int64_t ms);
    // The upper edge of the class in which the p-th part (0…1) lies; none when nothing was added.
    std::optional<std::int64_t> quantile(double p) const;

private:
    static constexpr std::size_t classes = 84;  // the last begins after more than an hour
    std::array<std::uint16_t, classes> in_{};
    std::uint32_t all_ = 0;
};

class history {
public:
    static constexpr duration step = std::chrono::seconds(10);
    static constexpr std::size_t steps = 360;

    struct slot {
        std::int64_t number = -1;  // of the step since the first; -1: never used
        std::uint32_t ok = 0;
        std::uint32_t left = 0;                  // the client went, or an operator ended it
        std::uint32_t failed = 0;                // everything else
        std::uint64_t tokens = 0;                // completion tokens
        std::uint32_t waiting = 0, running = 0;  // the most at once
        spread queue, first_byte;
    };

    // A call that needed a permit is over.
    void ended(const call_record& r, instant now);
    // So many wait and run; to be told now and then.
    void stood(std::size_t waiting, std::size_t running, instant now);

    // The last hour, oldest first, without holes; the step that `now` lies in is the last one.
    std::vector<slot> slots(instant now) const;

private:
    static std::int64_t number_of(instant at) { return at.time_since_epoch() / step; }
    slot& at(instant now);

    std::vector<slot> ring_ = std::vector<slot>(steps);
};

}  // namespace gateway
