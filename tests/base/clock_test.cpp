// Clocks that are read once for what is done in one go.
#include "base/clock.hpp"

#include "catch.hpp"

#include <optional>
#include <thread>

using namespace gateway;

namespace {

void pass_some_time()
{
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

}  // namespace

TEST_CASE("a clock that is held stands still from when it is first asked, and goes on after")
{
    const auto before = steady::now();
    const auto wall_before = wall_clock::now();
    std::optional<clocks_held> held(std::in_place);
    pass_some_time();
    const auto first = steady::now();
    const auto wall_first = wall_clock::now();
    CHECK(first - before >= std::chrono::milliseconds(2));
    CHECK(wall_first > wall_before);
    pass_some_time();
    CHECK(steady::now() == first);
    CHECK(wall_clock::now() == wall_first);
    held.reset();
    CHECK(steady::now() - first >= std::chrono::milliseconds(2));
    CHECK(wall_clock::now() > wall_first);
    const auto then = steady::now();
    held.emplace();
    CHECK(steady::now() >= then);  // nothing is left of the time before
}

TEST_CASE("what comes while the clocks are held is later than what came before it")
{
    clocks_held held;
    const auto first = steady::now();
    const auto wall_first = wall_clock::now();
    pass_some_time();
    clocks_held::something_came();
    const auto then = steady::now();
    CHECK(then - first >= std::chrono::milliseconds(2));
    CHECK(wall_clock::now() > wall_first);
    pass_some_time();
    CHECK(steady::now() == then);
}

TEST_CASE("a clock that one thread holds goes on for another")
{
    clocks_held held;
    const auto here = steady::now();
    instant first;
    instant then;
    std::thread([&] {
        pass_some_time();
        first = steady::now();
        pass_some_time();
        then = steady::now();
    }).join();
    CHECK(first > here);
    CHECK(then > first);
    CHECK(steady::now() == here);
}
