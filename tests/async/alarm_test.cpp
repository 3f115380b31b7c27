// Alarms: each goes off once, when its time has come, whatever the others do meanwhile.
#include "async/alarm.hpp"

#include "catch.hpp"

#include <boost/asio/executor_work_guard.hpp>

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

TEST_CASE("an alarm goes off once, at the time that was set last, and the loop ends")
{
    asio::io_context io(1);
    std::vector<instant> went;
    gateway::alarm one(io, [&] { went.push_back(steady::now()); });
    const auto start = steady::now();
    one.set(start + 1h);
    one.set(start + 5ms);   // sooner
    one.set(start + 20ms);  // later
    io.run();
    REQUIRE(went.size() == 1);
    CHECK(went[0] >= start + 20ms);

    one.set(steady::now() - 1s);
    io.restart();
    io.run();
    CHECK(went.size() == 2);
}

TEST_CASE("an alarm that is cleared or destroyed does not go off, and does not keep the loop")
{
    asio::io_context io(1);
    int went = 0;
    gateway::alarm cleared(io, [&] { ++went; });
    auto destroyed = std::make_unique<gateway::alarm>(io, [&] { ++went; });
    cleared.set(steady::now() + 5ms);
    destroyed->set(steady::now() + 1h);
    io.poll();
    CHECK(!io.stopped());
    cleared.clear();
    destroyed.reset();
    io.restart();
    io.run();
    CHECK(went == 0);
}

TEST_CASE("what an alarm does may set it anew, and destroy it and any other")
{
    asio::io_context io(1);
    std::vector<int> went;
    std::vector<std::unique_ptr<gateway::alarm>> all(4);
    const auto at = steady::now() + 1ms;
    all[0] = std::make_unique<gateway::alarm>(io, [&] {
        went.push_back(0);
        all[1].reset();
        all[0].reset();
    });
    all[1] = std::make_unique<gateway::alarm>(io, [&] { went.push_back(1); });
    all[2] = std::make_unique<gateway::alarm>(io, [&] {
        went.push_back(2);
        if (went.size() < 4)
            all[2]->set(at - 1h);  // not while the others that are due have not gone off
    });
    all[3] = std::make_unique<gateway::alarm>(io, [&] { went.push_back(3); });
    for (auto& one : all)
        one->set(at);
    io.run();
    CHECK(went == std::vector<int>{0, 2, 3, 2});
}

TEST_CASE("an alarm that throws takes none of the others with it")
{
    asio::io_context io(1);
    int went = 0;
    gateway::alarm before(io, [&] { ++went; });
    gateway::alarm thrower(io, [] { throw std::bad_alloc(); });
    gateway::alarm after(io, [&] { ++went; });
    const auto at = steady::now() + 1ms;
    for (auto* one : {&before, &thrower, &after})
        one->set(at);
    CHECK_THROWS_AS(io.run(), std::bad_alloc);
    io.run();
    CHECK(went == 2);
}

TEST_CASE("alarms in the set when their loop is destroyed may be destroyed after it")
{
    std::optional<gateway::alarm> outlives;
    int went = 0;
    {
        asio::io_context io(1);
        outlives.emplace(io, [&] { ++went; });
        outlives->set(steady::now() + 1ms);
        io.poll();
    }
    outlives.reset();
    CHECK(went == 0);
}

TEST_CASE("of alarms set, put off, cleared and destroyed at random each goes off at its time alone")
{
    std::mt19937 random(7);
    auto up_to = [&](int n) { return int(random() % unsigned(n)); };
    struct one {
        std::unique_ptr<gateway::alarm> clock;
        std::optional<instant> due;
    };
    for (int round = 0; round < 50; ++round) {
        asio::io_context io(1);
        auto busy = asio::make_work_guard(io);
        std::vector<one> all(12);
        std::vector<std::string> wrong;
        std::function<void(int)> act = [&](int n) {
            auto& me = all[std::size_t(n)];
            if (!me.due)
                wrong.emplace_back("went off without a time");
            else if (steady::now() < *me.due)
                wrong.emplace_back("went off early");
            me.due.reset();
        };
        auto step = [&] {
            const auto n = up_to(int(all.size()));
            auto& it = all[std::size_t(n)];
            const auto what = up_to(10);
            if (what == 0 || !it.clock) {
                it.due.reset();
                it.clock = std::make_unique<gateway::alarm>(io, [&act, n] { act(n); });
            } else if (what == 1) {
                it.clock->clear();
                it.due.reset();
            } else {
                it.due = steady::now() + std::chrono::microseconds(up_to(3000) - 200);
                it.clock->set(*it.due);
            }
        };
        for (int n = 0; n < 200; ++n) {
            step();
            if (up_to(4) == 0)
                io.poll();
            if (up_to(20) == 0)
                io.run_for(1ms);
        }
        busy.reset();
        const auto since = steady::now();
        io.restart();
        io.run();  // ends: the last has gone off
        CHECK(steady::now() - since < 5s);
        for (const auto& it : all)
            CHECK(!it.due);
        CHECK(wrong == std::vector<std::string>{});
    }
}
