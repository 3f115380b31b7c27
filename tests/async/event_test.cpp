// An event: who waits for it is told, however many they are.
#include "async/event.hpp"

#include "catch.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <memory>
#include <vector>

using namespace gateway;

namespace {

awaitable<void> wait_for(event& e, instant deadline, std::vector<bool>& seen)
{
    bool told = co_await e.wait_until(deadline);
    seen.push_back(told);
}

void settle(asio::io_context& io)
{
    io.restart();
    while (io.poll() != 0) {
    }
}

}  // namespace

TEST_CASE("all who wait for an event are told of it, each once, and the loop ends")
{
    asio::io_context io(1);
    event e(io);
    std::vector<bool> seen;
    for (int i = 0; i < 5; ++i) {
        auto deadline = i % 2 == 0 ? instant::max() : steady::now() + std::chrono::hours(1);
        asio::co_spawn(io, wait_for(e, deadline, seen), asio::detached);
    }
    settle(io);
    CHECK(seen.empty());
    CHECK(!io.stopped());
    e.tell();
    e.tell();
    settle(io);
    CHECK(seen == std::vector<bool>(5, true));
    CHECK(io.stopped());
}

TEST_CASE("an event that nobody waits for is kept for the next that comes, once")
{
    asio::io_context io(1);
    event e(io);
    std::vector<bool> seen;
    e.tell();
    e.tell();
    auto soon = steady::now() + std::chrono::milliseconds(20);
    asio::co_spawn(io, wait_for(e, instant::max(), seen), asio::detached);
    settle(io);
    CHECK(seen == std::vector<bool>{true});
    asio::co_spawn(io, wait_for(e, soon, seen), asio::detached);
    io.restart();
    io.run();
    CHECK(seen == std::vector<bool>{true, false});
    CHECK(steady::now() >= soon);
}

TEST_CASE("who comes when others have been told, but have not gone on yet, is told the next time")
{
    asio::io_context io(1);
    event e(io);
    std::vector<bool> first, second;
    asio::co_spawn(io, wait_for(e, instant::max(), first), asio::detached);
    settle(io);
    e.tell();
    asio::co_spawn(io, wait_for(e, instant::max(), second), asio::detached);
    settle(io);
    CHECK(first == std::vector<bool>{true});
    CHECK(second.empty());
    e.tell();
    settle(io);
    CHECK(second == std::vector<bool>{true});
}
