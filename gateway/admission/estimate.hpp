// How long until a visitor's turn: the moving average of a model's service time, and when the next
// of so many permits comes free. Pure.
#pragma once

#include "base/clock.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

namespace gateway::queueing {

// Exponentially weighted; the first sample is taken as it is.
class moving_average {
public:
    static constexpr double alpha = 0.2;
    static constexpr duration longest = std::chrono::hours(24);

    void add(duration sample)
    {
        const auto s = static_cast<double>(std::clamp(sample, duration::zero(), longest).count());
        value_ = value_ ? *value_ + alpha * (s - *value_) : s;
    }
    bool known() const { return value_.has_value(); }
    duration value() const { return duration(static_cast<duration::rep>(value_.value_or(0))); }

    // What is left of a call that began `elapsed` ago: never more than the average, and of one that
    // outlasts it still a tenth, for "at once" would be a lie.
    duration left_after(duration elapsed) const
    {
        return std::clamp(value() - elapsed, value() / 10, value());
    }

private:
    std::optional<double> value_;
};

// Permits that are out, and when they are expected back.
struct expected_return {
    duration in;
    unsigned permits;
};

// When the `nth` permit (from 0) comes free, of `capacity` ones of which `out` are held, if each is
// taken again at once for `service`. Sorts `out`. At most as many as `capacity` come free per
// round.
inline duration until_free(std::vector<expected_return>& out, std::size_t capacity, std::size_t nth,
                           duration service)
{
    std::size_t held = 0;
    for (const auto& o : out)
        held += o.permits;
    if (held > capacity)
        nth +=
            held - capacity;  // the capacity was lowered: the first ones back are not given again
    const auto round = std::max({capacity, held, std::size_t{1}});
    const auto rounds = static_cast<duration::rep>(std::min<std::size_t>(nth / round, 100'000));
    std::size_t within = nth % round;
    const auto waits = service * rounds;
    const std::size_t free = round - std::min(round, held);
    if (within < free)
        return waits;
    within -= free;
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.in < b.in; });
    for (const auto& o : out) {
        if (within < o.permits)
            return o.in + waits;
        within -= o.permits;
    }
    return waits;
}

}  // namespace gateway::queueing
