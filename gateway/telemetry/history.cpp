#include "telemetry/history.hpp"

#include "call/kinds.hpp"

#include <algorithm>
#include <cmath>

namespace gateway {

namespace {

constexpr double growth = 1.2;

}  // namespace

void spread::add(std::int64_t ms)
{
    auto x = std::max<double>(1, double(ms));
    auto n = std::min<std::size_t>(classes - 1, std::size_t(std::log(x) / std::log(growth)));
    if (in_[n] != UINT16_MAX) {
        ++in_[n];
        ++all_;
    }
}

std::optional<std::int64_t> spread::quantile(double p) const
{
    if (all_ == 0)
        return std::nullopt;
    auto wanted = std::max<double>(1, std::ceil(p * all_));
    double seen = 0;
    std::size_t n = 0;
    while (n + 1 < classes && (seen += in_[n]) < wanted)
        ++n;
    return std::int64_t(std::llround(std::pow(growth, double(n + 1))));
}

history::slot& history::at(instant now)
{
    auto number = number_of(now);
    auto& s = ring_[std::size_t(number) % steps];
    if (s.number != number) {
        s = {};
        s.number = number;
    }
    return s;
}

void history::ended(const call_record& r, instant now)
{
    if (r.what != kind::generation && r.what != kind::embedding)
        return;
    auto& s = at(now);
    if (r.how == outcome::ok)
        ++s.ok;
    else if (r.how == outcome::client_gone || r.how == outcome::cancelled)
        ++s.left;
    else
        ++s.failed;
    s.tokens += r.completion_tokens;
    s.queue.add(r.queue_us / 1000);
    if (r.first_byte_us >= 0)
        s.first_byte.add(r.first_byte_us / 1000);
}

void history::stood(std::size_t waiting, std::size_t running, instant now)
{
    auto& s = at(now);
    s.waiting = std::max(s.waiting, std::uint32_t(waiting));
    s.running = std::max(s.running, std::uint32_t(running));
}

std::vector<history::slot> history::slots(instant now) const
{
    std::vector<slot> all;
    all.reserve(steps);
    auto last = number_of(now);
    for (auto n = last - std::int64_t(steps) + 1; n <= last; ++n) {
        const auto& s = ring_[std::size_t(n) % steps];
        all.push_back(s.number == n ? s : slot{});
        all.back().number = n;
    }
    return all;
}

}  // namespace gateway
