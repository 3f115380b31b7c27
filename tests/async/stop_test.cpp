// A stop tells everybody who hangs on it, once.
#include "async/stop.hpp"

#include "catch.hpp"

#include <optional>
#include <vector>

using namespace gateway;

TEST_CASE("a stop runs its hooks once, newest first, and keeps its first reason")
{
    stop s;
    std::vector<int> ran;
    stop::hook first(s, [&] { ran.push_back(1); });
    stop::hook second(s, [&] { ran.push_back(2); });
    CHECK_FALSE(s.requested());
    s.request(stop_reason::client_gone, instant{});
    s.request(stop_reason::silent, instant{});
    CHECK(ran == std::vector{2, 1});
    CHECK(s.why() == stop_reason::client_gone);
}

TEST_CASE("a hook that is gone is not run, wherever it stood")
{
    for (int gone = 0; gone < 3; ++gone) {
        stop s;
        std::vector<int> ran;
        std::optional<stop::hook> hooks[3];
        for (int i = 0; i < 3; ++i)
            hooks[i].emplace(s, [&ran, i] { ran.push_back(i); });
        hooks[gone].reset();
        s.request(stop_reason::cancelled, instant{});
        std::vector<int> expected{2, 1, 0};
        std::erase(expected, gone);
        CHECK(ran == expected);
    }
}

TEST_CASE("a hook hung on a stop that was already requested runs at once")
{
    stop s;
    s.request(stop_reason::draining, instant{});
    bool ran = false;
    stop::hook late(s, [&] { ran = true; });
    CHECK(ran);
}

TEST_CASE("a stop passes its reason on to another")
{
    stop outer, inner;
    stop::hook on(outer, [&] { inner.request(outer.why(), instant{}); });
    bool closed = false;
    stop::hook at(inner, [&] { closed = true; });
    outer.request(stop_reason::too_long, instant{});
    CHECK(inner.why() == stop_reason::too_long);
    CHECK(closed);
}
