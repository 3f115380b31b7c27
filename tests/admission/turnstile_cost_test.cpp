// What it costs: with ten thousand waiting little more than with a hundred, and the doors are asked
// once per lane.
#include "admission/shutters.hpp"
#include "admission/turnstile.hpp"

#include "catch.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

const instant zero = instant{} + 1000h;

// This thread's own time: what else runs on the machine does not count.
double own_seconds()
{
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// The least of several tries: caches that others emptied do not count either.
template <class Try>
double least_of(int tries, Try once)
{
    auto least = once();
    for (int i = 1; i < tries; ++i)
        least = std::min(least, once());
    return least;
}

struct cost {
    double position = 0;
    double leave = 0;
    double grant = 0;
};

// Of a thousand of each, with so many waiting.
cost with_waiting(std::size_t many)
{
    constexpr std::size_t times = 1000;
    turnstile t({many, many, {}}, open_doors, 2);
    t.set_capacity(0, 1);
    t.set_capacity(1, 1);
    std::size_t came = 0;
    std::vector<turnstile::ticket> line;
    const auto come = [&] {
        const auto n = came++;
        return t
            .arrive({"c" + std::to_string(n % 37), lane_of("m" + std::to_string(n % 3)), false, 1},
                    zero)
            .id;
    };
    std::vector<turnstile::ticket> running{come(), come()};
    while (line.size() < many)
        line.push_back(come());

    cost c;
    std::size_t sum = 0;
    c.position = least_of(5, [&] {
        const auto begin = own_seconds();
        for (std::size_t i = 0; i < times; ++i)
            sum += t.position(line[i * 7919 % many], zero);
        return own_seconds() - begin;
    });
    CHECK(sum >= 5 * times);
    c.leave = least_of(5, [&] {
        double spent = 0;
        for (std::size_t i = 0; i < times; ++i) {
            auto& goes = line[i * 7919 % many];
            const auto begin = own_seconds();
            t.leave(goes);
            spent += own_seconds() - begin;
            goes = come();
        }
        return spent;
    });
    c.grant = least_of(5, [&] {
        double spent = 0;
        for (std::size_t i = 0; i < times; ++i) {
            t.finish(running.front(), 1s);
            running.erase(running.begin());
            const auto begin = own_seconds();
            const auto next = t.next(zero);
            spent += own_seconds() - begin;
            REQUIRE(next);
            running.push_back(next->id);
            come();
        }
        return spent;
    });
    return c;
}

}  // namespace

TEST_CASE(
    "with ten thousand waiting a leave, a grant and a position cost little more than with a "
    "hundred")
{
    // A hundred times as much is what it would be if all were looked at; twice, what a logarithm
    // is, and some for caches.
    const auto few = with_waiting(100);
    const auto many = with_waiting(10'000);
    INFO("position " << few.position << " " << many.position << ", leave " << few.leave << " "
                     << many.leave << ", grant " << few.grant << " " << many.grant);
    CHECK(many.position < 40 * few.position);
    CHECK(many.leave < 40 * few.leave);
    CHECK(many.grant < 40 * few.grant);
}

TEST_CASE("the doors are asked once for each lane that is waited in")
{
    shutters doors;
    turnstile t({1000, 1000, {}}, doors, 3);
    const auto asked = [&] { return std::exchange(doors.asked, 0); };
    for (int i = 0; i < 50; ++i)
        t.arrive({"c" + std::to_string(i), lane_of("m" + std::to_string(i % 5)), false, 1}, zero);
    asked();
    t.arrive({"a", lane_of("m1"), false, 1}, zero);
    CHECK(asked() == 5);
    t.arrive({"a", lane_of("another"), false, 1}, zero);
    CHECK(asked() == 6);
    CHECK_FALSE(t.next(zero));
    CHECK(asked() == 0);  // no permit is free: what for?
    t.set_capacity(2, 1);
    CHECK(t.next(zero));
    CHECK(asked() == 6);
}
