// The turnstile with people before it: woken in their turn, and a permit never lost however they
// go.
#include "admission/admission.hpp"
#include "admission/shutters.hpp"

#include "catch.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace gateway;

namespace {

// With that many permits at each place.
struct queue {
    explicit queue(unsigned capacity, place_id places = 1)
        : at(io, {10'000, 10'000, {}}, doors, places)
    {
        for (place_id p = 0; p < places; ++p)
            at.set_capacity(p, capacity);
    }
    asio::io_context io;
    shutters doors;
    admission at;
};

visitor somebody(int n)
{
    visitor v;
    v.client = std::to_string(n);
    v.lane = lane_of("m");
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
    queue q(1);
    auto& io = q.io;
    auto& at = q.at;
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
    queue q(1);
    auto& io = q.io;
    auto& at = q.at;
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
    queue q(1);
    auto& at = q.at;
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
    queue q(1);
    auto& at = q.at;
    permit first(at, somebody(0));
    permit second(at, somebody(1));
    at.open(0, false);
    first.put_back();
    CHECK_FALSE(first.granted());
    CHECK(first.position() == 1);
    CHECK(second.position() == 2);
    at.open(0, true);
    CHECK(first.granted());
    CHECK_FALSE(second.granted());
}

TEST_CASE("a permit says where it was granted, and whether it was let in past the door")
{
    queue q(1, 2);
    permit first(q.at, somebody(0));
    permit second(q.at, somebody(1));
    REQUIRE(second.granted());
    CHECK(first.place() == 0);
    CHECK(second.place() == 1);
    CHECK_FALSE(second.directly());
    permit third(q.at, somebody(2));
    permit fourth(q.at, somebody(3));
    second.finish(std::nullopt);
    CHECK(third.place() == 1);

    stop s;
    std::vector<int> order;
    asio::co_spawn(q.io, wait_and_note(fourth, s, order, 4), asio::detached);
    q.io.poll();
    q.at.let_in(q.at.view().lanes().front().first, 0);
    q.io.poll();
    CHECK(order == std::vector{4});
    CHECK(fourth.directly());
    CHECK(fourth.place() == 0);
    CHECK(q.at.view().in_use(0) == 2);
    q.at.let_in(12345, 0);  // nobody
    std::vector<place_id> over;
    q.at.on_direct_over([&](place_id p) { over.push_back(p); });
    fourth.put_back();
    CHECK_FALSE(fourth.directly());
    CHECK(over == std::vector<place_id>{0});
    first.finish(std::nullopt);
    CHECK(fourth.granted());
    CHECK_FALSE(fourth.directly());
    fourth.finish(std::nullopt);
    CHECK(over.size() == 1);
}

TEST_CASE("bad news wakes those who wait in that lane, and they keep their places")
{
    queue q(1);
    q.doors.shut("n");
    stop s;
    const auto wait = [](permit& p, stop& until, int& returned) -> awaitable<void> {
        co_await p.turn(until);
        ++returned;
    };
    permit running(q.at, somebody(0));
    auto other = somebody(1);
    other.lane = lane_of("n");
    permit told(q.at, other);
    permit not_told(q.at, somebody(2));
    int returned = 0;
    int others = 0;
    asio::co_spawn(q.io, wait(told, s, returned), asio::detached);
    asio::co_spawn(q.io, wait(not_told, s, others), asio::detached);
    q.io.poll();
    bad_news news;
    news.place = 0;
    news.how = outcome::upstream_status;
    news.status = 500;
    news.body = "{}";
    q.at.tell(lane_of("n"), news);
    q.at.tell({"n", "num_ctx", 0}, news);
    q.io.poll();
    CHECK(returned == 1);
    CHECK(others == 0);
    CHECK_FALSE(told.granted());
    CHECK(not_told.position() == 1);  // its door is open
    CHECK(told.position() == 2);
    const auto got = told.take_news();
    REQUIRE(got);
    CHECK(got->status == 500);
    CHECK_FALSE(told.take_news());

    // It waits on, and returns when there is more; what it was not told yet is of no use once it is
    // granted.
    asio::co_spawn(q.io, wait(told, s, returned), asio::detached);
    q.io.poll();
    CHECK(returned == 1);
    q.at.tell(lane_of("n"), news);
    q.doors.open("n");
    running.finish(std::nullopt);
    q.io.poll();
    CHECK(returned == 2);
    CHECK(told.granted());
    CHECK_FALSE(told.take_news());
    not_told.give_up();
    q.io.poll();
}

TEST_CASE(
    "a call that moves to another lane keeps its place, and the news of the old one stay there")
{
    queue q(1);
    q.doors.shut("m");
    permit first(q.at, somebody(0));
    permit second(q.at, somebody(1));
    q.at.tell(lane_of("m"), {});
    second.move(lane_of("n"));
    CHECK(second.granted());
    CHECK(second.lane() == lane_of("n"));
    CHECK_FALSE(second.take_news());
    CHECK(first.position() == 1);
    CHECK(first.take_news());
}

TEST_CASE("a granted call that moves is not granted again where it comes from")
{
    queue q(1, 2);
    permit failed(q.at, somebody(0));
    REQUIRE(failed.place() == 0);
    permit beside(q.at, somebody(1));
    REQUIRE(beside.place() == 1);
    permit behind(q.at, somebody(2));
    auto lane = failed.lane();
    lane.barred = 1;
    failed.move(lane);
    CHECK_FALSE(failed.granted());
    CHECK(failed.position() == 1);
    CHECK(behind.granted());
    CHECK(behind.place() == 0);
    beside.finish(std::nullopt);
    CHECK(failed.granted());
    CHECK(failed.place() == 1);
}

TEST_CASE("whoever decides what is loaded is told of every change")
{
    queue q(1);
    int notes = 0;
    q.at.on_change([&] { ++notes; });
    const auto noted = [&] { return std::exchange(notes, 0) > 0; };
    auto running = std::make_unique<permit>(q.at, somebody(0));
    CHECK(noted());
    auto waits = std::make_unique<permit>(q.at, somebody(1));
    CHECK(noted());
    permit other(q.at, somebody(2));
    CHECK(noted());
    waits->move(lane_of("n"));
    CHECK(noted());
    waits.reset();
    CHECK(noted());
    q.at.wake();
    q.at.set_capacity(0, 1);
    CHECK_FALSE(noted());
    q.at.set_capacity(0, 2);
    CHECK(noted());  // the other got a permit
    other.put_back();
    CHECK(noted());
    running->finish(std::nullopt);
    CHECK(noted());
    running.reset();
    CHECK_FALSE(noted());
    q.at.set_limits({0, 0, {}});
    q.at.open(0, false);
    permit refused(q.at, somebody(3));
    CHECK(refused.arrival() == turnstile::answer::full);
    CHECK_FALSE(noted());
}

TEST_CASE("a limit of a model that is lifted lets the next in")
{
    queue q(3);
    q.at.limit_model(0, "m", 1);
    permit first(q.at, somebody(0));
    permit second(q.at, somebody(1));
    CHECK_FALSE(second.granted());
    q.at.limit_model(0, "m", 2);
    CHECK(second.granted());
}

TEST_CASE("whatever visitors do, no permit is lost and none is given twice")
{
    std::mt19937 random(11);
    constexpr unsigned capacity = 3;
    queue q(capacity);
    auto& at = q.at;
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

TEST_CASE("doors, moves and news lose no permit either")
{
    std::mt19937 random(12);
    const auto roll = [&](std::size_t n) { return random() % n; };
    queue q(2, 3);
    auto& at = q.at;
    const auto lane = [&] {
        return lane_key{roll(2) ? "m" : "n", roll(3) ? "" : "num_ctx", roll(4) ? 0 : roll(8)};
    };
    std::vector<std::unique_ptr<permit>> all;
    std::size_t directly = 0;
    for (int step = 0; step < 20'000; ++step) {
        auto* some = all.empty() ? nullptr : all[roll(all.size())].get();
        switch (roll(9)) {
            case 0:
            case 1:
            case 2: {
                visitor v{std::to_string(roll(5)), lane(), roll(4) == 0, 1, roll(8) == 0};
                all.push_back(std::make_unique<permit>(at, std::move(v)));
                break;
            }
            case 3:
                if (some)
                    all.erase(all.begin() + std::ptrdiff_t(roll(all.size())));
                break;
            case 4:
                if (some)
                    some->finish(std::chrono::milliseconds(5));
                break;
            case 5:
                if (some && roll(3) == 0)
                    some->put_back();
                break;
            case 6:
                if (some)
                    some->move(lane());
                break;
            case 7:
                q.doors.open_at(roll(2) ? "m" : "n", roll(8));
                at.wake();
                break;
            default:
                if (at.view().anybody_waits() && roll(4) == 0) {
                    at.let_in(at.view().lanes().back().first, place_id(roll(3)));
                    ++directly;
                }
                at.tell(lane(), {});
        }
        std::vector<std::size_t> out(3);
        std::size_t waiting = 0;
        for (const auto& p : all) {
            if (p->granted())
                ++out[p->place()];
            waiting += p->position() != 0;
            REQUIRE((!p->granted() || p->position() == 0));
        }
        REQUIRE(waiting == at.view().waiting());
        for (place_id p = 0; p < 3; ++p)
            REQUIRE(out[p] >= at.view().in_use(p));  // errands hold none
        if (all.size() > 60)
            all.clear();
    }
    CHECK(directly > 0);
    all.clear();
    CHECK(at.view().in_use() == 0);
    CHECK(at.view().waiting_all() == 0);
}
