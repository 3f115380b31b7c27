// The last hour in steps: what is counted where, and what is forgotten.
#include "telemetry/history.hpp"

#include "call/kinds.hpp"
#include "catch.hpp"

using namespace gateway;
using namespace std::chrono_literals;

namespace {

// Somewhere within a step, more than an hour after the clock began.
const instant noon = instant{} + 100h + 3s;

call_record call(outcome how, std::int64_t queue_ms, std::int64_t first_byte_ms)
{
    call_record r;
    r.what = kind::generation;
    r.how = how;
    r.queue_us = queue_ms * 1000;
    r.first_byte_us = first_byte_ms < 0 ? -1 : first_byte_ms * 1000;
    r.completion_tokens = 7;
    return r;
}

}  // namespace

TEST_CASE("an hour without calls is an hour of empty steps")
{
    auto slots = history().slots(noon);
    REQUIRE(slots.size() == history::steps);
    for (const auto& s : slots) {
        CHECK(s.ok + s.left + s.failed == 0);
        CHECK_FALSE(s.queue.quantile(0.5));
    }
}

TEST_CASE("calls are counted in the step in which they end, by how they end")
{
    history h;
    h.ended(call(outcome::ok, 0, 100), noon);
    h.ended(call(outcome::ok, 0, 100), noon + 1s);
    h.ended(call(outcome::client_gone, 0, -1), noon + 1s);
    h.ended(call(outcome::cancelled, 0, -1), noon + 1s);
    h.ended(call(outcome::timed_out, 0, -1), noon + history::step);
    h.ended(call(outcome::refused, 0, -1), noon + history::step);
    auto slots = h.slots(noon + history::step);
    const auto& now = slots[history::steps - 1];
    const auto& before = slots[history::steps - 2];
    CHECK(before.ok == 2);
    CHECK(before.left == 2);
    CHECK(before.failed == 0);
    CHECK(before.tokens == 28);
    CHECK(now.failed == 2);
    CHECK(now.ok == 0);
}

TEST_CASE("what needs no permit is not counted")
{
    history h;
    auto r = call(outcome::ok, 0, 1);
    r.what = kind::information;
    h.ended(r, noon);
    CHECK(h.slots(noon).back().ok == 0);
}

TEST_CASE("the queue of a step is its deepest")
{
    history h;
    h.stood(3, 1, noon);
    h.stood(9, 2, noon + 1s);
    h.stood(0, 0, noon + 2s);
    CHECK(h.slots(noon).back().waiting == 9);
    CHECK(h.slots(noon).back().running == 2);
}

TEST_CASE("what is older than an hour is forgotten, and its place used again")
{
    history h;
    h.ended(call(outcome::ok, 0, 1), noon);
    auto hour = history::step * std::int64_t(history::steps);
    CHECK(h.slots(noon + hour - history::step).front().ok == 1);
    for (const auto& s : h.slots(noon + hour))
        CHECK(s.ok == 0);
    h.ended(call(outcome::timed_out, 0, 1), noon + hour);
    CHECK(h.slots(noon + hour).back().ok == 0);
    CHECK(h.slots(noon + hour).back().failed == 1);
}

TEST_CASE("quantiles are right to a fifth, whatever the size")
{
    for (std::int64_t ms : {1, 3, 50, 999, 60'000, 3'000'000}) {
        spread s;
        for (int n = 0; n < 100; ++n)
            s.add(n < 90 ? ms : ms * 10);
        INFO(ms);
        CHECK(*s.quantile(0.5) >= ms);
        CHECK(double(*s.quantile(0.5)) <= double(ms) * 1.2 + 1);
        if (ms <= 60'000)
            CHECK(double(*s.quantile(0.95)) >= double(ms) * 10 * 0.99);
    }
}

TEST_CASE("a time without end and one below zero have a class too")
{
    spread s;
    s.add(INT64_MAX);
    CHECK(*s.quantile(0.5) > 3'600'000);
    spread t;
    t.add(-5);
    CHECK(*t.quantile(1) <= 2);
}
