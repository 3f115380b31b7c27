// The turnstile with people before it: woken in their turn, and a permit never lost however they
// go.
#include "admission/admission.hpp"

#include "catch.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <memory>
#include <random>
#include <vector>

using namespace gateway;

namespace {

turnstile::limits limits(unsigned capacity)
{
    turnstile::limits l;
    l.capacity = capacity;
    l.max_waiting = 10'000;
    l.max_waiting_per_client = 10'000;
    return l;
}

visitor somebody(int n)
{
    visitor v;
    v.client = std::to_string(n);
    v.model = "m";
    return v;
}

awaitable<void> wait_and_note(permit& p, stop& s, std::vector<int>& order, int n)
{
    co_await p.turn(s);
    if (p.granted())
        order.push_back(n);
}

}  // namespace

TEST_CASE("a permit given back wakes the next in its turn")
{
    asio::io_context io;
    admission at(io, limits(1));
    stop s;
    std::vector<int> order;
    auto first = std::make_unique<permit>(at, somebody(0));
    REQUIRE(first->granted());
    std::vector<std::unique_ptr<permit>> waiting;
    for (int n = 1; n <= 3; ++n) {
        waiting.push_back(std::make_unique<permit>(at, somebody(n)));
        CHECK(waiting.back()->position() == std::size_t(n));
        asio::co_spawn(io, wait_and_note(*waiting.back(), s, order, n), asio::detached);
    }
    io.poll();
    CHECK(order.empty());
    first.reset();
    io.poll();
    CHECK(order == std::vector{1});
    waiting[0].reset();
    io.poll();
    CHECK(order == std::vector{1, 2});
    waiting[1]->finish(std::nullopt);
    io.poll();
    CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("a permit whose stop is requested while it waits frees its place")
{
    asio::io_context io;
    admission at(io, limits(1));
    permit running(at, somebody(0));
    stop s;
    std::vector<int> order;
    auto leaver = std::make_unique<permit>(at, somebody(1));
    permit next(at, somebody(2));
    CHECK(next.position() == 2);
    asio::co_spawn(io, wait_and_note(*leaver, s, order, 1), asio::detached);
    io.poll();
    s.request(stop_reason::client_gone, steady::now());
    io.poll();
    CHECK_FALSE(leaver->granted());
    leaver.reset();
    CHECK(next.position() == 1);
    CHECK(at.view().waiting() == 1);
    running.finish(std::nullopt);
    CHECK(next.granted());
}

TEST_CASE("a grant that its owner never takes goes to the next")
{
    asio::io_context io;
    admission at(io, limits(1));
    permit running(at, somebody(0));
    auto granted = std::make_unique<permit>(at, somebody(1));
    permit next(at, somebody(2));
    running.finish(std::nullopt);
    REQUIRE(granted->granted());
    granted.reset();  // it left in the moment it was granted
    CHECK(next.granted());
}

TEST_CASE("put back it stands first, and is granted again when the gate opens")
{
    asio::io_context io;
    admission at(io, limits(1));
    permit first(at, somebody(0));
    permit second(at, somebody(1));
    at.open(false);
    first.put_back();
    CHECK_FALSE(first.granted());
    CHECK(first.position() == 1);
    CHECK(second.position() == 2);
    at.open(true);
    CHECK(first.granted());
    CHECK_FALSE(second.granted());
}

TEST_CASE("whatever visitors do, no permit is lost and none is given twice")
{
    std::mt19937 random(11);
    asio::io_context io;
    constexpr unsigned capacity = 3;
    admission at(io, limits(capacity));
    std::vector<std::unique_ptr<permit>> all;
    for (int step = 0; step < 20'000; ++step) {
        switch (random() % 5) {
            case 0:
            case 1: all.push_back(std::make_unique<permit>(at, somebody(int(random() % 5)))); break;
            case 2:
                if (!all.empty())
                    all.erase(all.begin() + std::ptrdiff_t(random() % all.size()));
                break;
            case 3:
                for (auto& p : all)
                    if (p->granted()) {
                        p->finish(std::chrono::milliseconds(5));
                        break;
                    }
                break;
            default:
                if (!all.empty() && random() % 8 == 0)
                    all[random() % all.size()]->put_back();
        }
        std::size_t granted = 0, waiting = 0;
        for (const auto& p : all) {
            granted += p->granted();
            waiting += p->position() != 0;
        }
        REQUIRE(granted == at.view().in_use());
        REQUIRE(waiting == at.view().waiting());
        REQUIRE(granted == std::min<std::size_t>(capacity, granted + waiting));
        if (all.size() > 60)
            all.clear();
    }
    all.clear();
    CHECK(at.view().in_use() == 0);
    CHECK(at.view().waiting() == 0);
}
