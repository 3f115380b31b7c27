// Whose turn it is, sentence by sentence of SPEC §5.
#include "admission/shutters.hpp"
#include "admission/turnstile.hpp"

#include "catch.hpp"

#include <chrono>
#include <map>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

const instant zero = instant{} + 1000h;

// A turnstile whose visitors have names; the first `capacity` arrivals run.
struct named_queue {
    explicit named_queue(unsigned capacity = 1)
        : order(before_one_place(capacity, {10000, 10000, {}}, doors))
    {
    }

    turnstile::ticket come(const std::string& name, visitor v, instant now = zero)
    {
        const auto got = order.arrive(std::move(v), now);
        REQUIRE(got.id != 0);
        names[got.id] = name;
        if (got.what == turnstile::answer::granted)
            running.push_back(got.id);
        return got.id;
    }
    // Ends the longest-running one and says who goes: "a" or "a b", "" for nobody.
    std::string end_one(instant now = zero)
    {
        order.finish(running.front(), 1s);
        running.erase(running.begin());
        return who_goes(now);
    }
    std::string who_goes(instant now = zero)
    {
        std::string all;
        while (const auto next = order.next(now)) {
            running.push_back(next->id);
            all += (all.empty() ? "" : " ") + names[next->id];
        }
        return all;
    }
    // One after the other until nobody waits.
    std::string the_rest(instant now = zero)
    {
        std::string all;
        while (order.waiting() > 0)
            all += (all.empty() ? "" : " ") + end_one(now);
        return all;
    }

    shutters doors;
    turnstile order;
    std::map<turnstile::ticket, std::string> names;
    std::vector<turnstile::ticket> running;
};

visitor of(const std::string& client, const std::string& model = "m")
{
    return {client, lane_of(model), false, 1};
}
visitor behind(const std::string& client)
{
    return {client, lane_of("m"), true, 1};
}

}  // namespace

TEST_CASE("a free permit is given at once, and no more than there are")
{
    named_queue q(2);
    q.come("1", of("a"));
    q.come("2", of("a"));
    const auto third = q.come("3", of("b"));
    CHECK(q.running.size() == 2);
    CHECK(q.order.in_use() == 2);
    CHECK(q.order.position(third, zero) == 1);
    CHECK(q.who_goes().empty());
    CHECK(q.end_one() == "3");
}

TEST_CASE("a client with many calls and one with few alternate")
{
    named_queue q;
    q.come("run", of("x"));
    for (int i = 1; i <= 6; ++i)
        q.come("a" + std::to_string(i), of("a"));
    for (int i = 1; i <= 3; ++i)
        q.come("b" + std::to_string(i), of("b"));
    CHECK(q.the_rest() == "a1 b1 a2 b2 a3 b3 a4 a5 a6");
}

TEST_CASE("a client that sends one call after the other gets its half beside one with a hundred")
{
    named_queue q;
    q.come("run", of("x"));
    for (int i = 0; i < 100; ++i)
        q.come("many", of("many"));
    q.come("single", of("single"));
    int singles = 0;
    for (int i = 0; i < 60; ++i) {
        const auto who = q.end_one();
        if (who == "many" && q.order.waiting_of_client("single") == 0)
            q.come("single", of("single"));
        singles += who == "single";
    }
    CHECK(singles >= 27);
    CHECK(singles <= 33);
}

TEST_CASE("a client that holds all permits stands behind one that holds none")
{
    named_queue q(3);
    for (int i = 0; i < 3; ++i)
        q.come("run", of("a"));
    q.come("a4", of("a"));
    q.come("b1", of("b"));
    CHECK(q.the_rest() == "b1 a4");
}

TEST_CASE("one client's calls go in the order they came")
{
    named_queue q;
    q.come("run", of("a"));
    for (int i = 1; i <= 5; ++i)
        q.come(std::to_string(i), of("a", i % 2 ? "m" : "n"));
    CHECK(q.the_rest() == "1 2 3 4 5");
}

TEST_CASE("a client that leaves while queued frees its place")
{
    named_queue q;
    q.come("run", of("a"));
    const auto b = q.come("b", of("b"));
    const auto c = q.come("c", of("c"));
    CHECK(q.order.position(c, zero) == 2);
    q.order.leave(b);
    CHECK(q.order.position(b, zero) == 0);
    CHECK(q.order.position(c, zero) == 1);
    CHECK(q.order.waiting() == 1);
    CHECK(q.order.waiting_of_client("b") == 0);
    CHECK(q.end_one() == "c");
}

TEST_CASE("a client that tries again before it gives up the last try does not fall behind")
{
    named_queue q;
    q.come("run", of("x"));
    for (int i = 1; i <= 8; ++i)
        q.come("a" + std::to_string(i), of("a"));
    auto last = q.come("b", of("b"));
    for (int i = 0; i < 20; ++i) {
        const auto again = q.come("b", of("b"));
        q.order.leave(last);
        last = again;
    }
    CHECK(q.order.position(last, zero) == 2);
}

TEST_CASE("a visitor that gave up costs its client nothing")
{
    named_queue q;
    q.come("run", of("x"));
    std::vector<turnstile::ticket> given_up;
    for (int i = 0; i < 50; ++i)
        given_up.push_back(q.come("no", of("b")));
    for (auto at = given_up.rbegin(); at != given_up.rend(); ++at)
        q.order.leave(*at);
    q.come("a1", of("a"));
    q.come("a2", of("a"));
    q.come("b1", of("b"));
    CHECK(q.the_rest() == "a1 b1 a2");
}

TEST_CASE("background visitors yield to all others")
{
    named_queue q;
    q.come("run", of("x"));
    q.come("bg1", behind("a"));
    q.come("bg2", behind("b"));
    q.come("1", of("a"));
    const auto bg = q.come("bg3", behind("a"));
    q.come("2", of("a"));
    CHECK(q.order.position(bg, zero) == 5);
    CHECK(q.the_rest() == "1 2 bg1 bg2 bg3");
}

TEST_CASE("a background call does not set its client's other calls back")
{
    named_queue q;
    q.come("run", of("x"));
    for (int i = 0; i < 9; ++i)
        q.come("bg", behind("a"));
    q.come("b1", of("b"));
    q.come("a1", of("a"));
    q.come("b2", of("b"));
    CHECK(q.end_one() == "b1");
    CHECK(q.end_one() == "a1");
}

TEST_CASE("a background visitor that waited half an hour is ordered as the oldest")
{
    named_queue q;
    q.come("run", of("x"));
    const auto bg = q.come("bg", behind("a"));
    auto now = zero;
    for (; now < zero + 30min; now += 1min) {
        q.come("other", of("b"), now);
        CHECK(q.end_one(now) == "other");
    }
    q.come("b1", of("b"), now);
    q.come("c1", of("c"), now);
    CHECK(q.end_one(now) == "bg");
    CHECK(q.order.position(bg, zero) == 0);
}

TEST_CASE("many aged background visitors of one client still take turns with the others")
{
    named_queue q;
    q.come("run", of("x"));
    for (int i = 0; i < 100; ++i)
        q.come("bg", behind("a"));
    const auto later = zero + 31min;
    for (int i = 0; i < 5; ++i)
        q.come("i", of("b"), later);
    std::string order;
    for (int i = 0; i < 10; ++i)
        order += q.end_one(later) + " ";
    CHECK(order == "bg i bg i bg i bg i bg i ");
}

TEST_CASE("a background visitor waits at most half an hour longer than as an interactive one")
{
    // The same arrivals twice; only the class of the observed one differs.
    const auto waits = [](bool background) {
        named_queue q;
        q.come("run", of("x"));
        for (int i = 0; i < 10; ++i)
            q.come("before", of("y" + std::to_string(i)));
        const auto seen = q.come("seen", {"a", lane_of("m"), background, 1});
        auto now = zero;
        for (int i = 0; q.order.position(seen, zero) != 0; ++i) {
            REQUIRE(i < 1000);
            now += 1min;
            q.come("new", of("z" + std::to_string(i % 4)), now);
            q.come("new", of("z" + std::to_string(i % 4)), now);
            q.end_one(now);
        }
        return now - zero;
    };
    CHECK(waits(false) <= 12min);
    CHECK(waits(true) > 29min);
    CHECK(waits(true) <= waits(false) + 30min);
}

TEST_CASE("a model at its limit is passed over and keeps its place")
{
    named_queue q(3);
    q.order.limit_model(0, "m", 1);
    q.come("m1", of("a"));
    const auto m2 = q.come("m2", of("b"));
    const auto m3 = q.come("m3", of("c"));
    CHECK(q.order.running("m") == 1);
    CHECK(q.order.in_use() == 1);
    q.come("n1", of("d", "n"));
    q.come("n2", of("d", "n"));
    CHECK(q.running.size() == 3);  // both went past the waiting ones
    CHECK(q.order.position(m2, zero) == 1);
    CHECK(q.order.position(m3, zero) == 2);
    q.come("n3", of("e", "n"));
    CHECK(q.end_one() == "m2");  // m1 ended
    q.order.limit_model(0, "m", 0);
    CHECK(q.end_one() == "m3");  // n1 ended
    CHECK(q.end_one() == "n3");
}

TEST_CASE("a lowered model limit takes no permit back, a raised one lets the next go")
{
    named_queue q(3);
    for (const auto* client : {"a", "b", "c"})
        q.come("run", of(client));
    q.order.limit_model(0, "m", 1);
    q.come("next", of("d"));
    CHECK(q.order.running("m") == 3);
    CHECK(q.end_one().empty());
    CHECK(q.end_one().empty());
    q.order.limit_model(0, "m", 2);
    CHECK(q.who_goes() == "next");
}

TEST_CASE("nothing is granted of a model whose door is shut, the others go on")
{
    named_queue q(2);
    q.doors.shut("m");
    const auto m = q.come("m1", of("a"));
    CHECK(q.running.empty());
    q.come("n1", of("a", "n"));
    CHECK(q.running.size() == 1);
    CHECK(q.who_goes().empty());
    CHECK_FALSE(q.order.eta(m, zero));
    q.doors.open("m");
    CHECK(q.who_goes() == "m1");
}

TEST_CASE("while it is closed nothing is granted and arrivals wait")
{
    named_queue q(2);
    q.order.open(0, false);
    q.come("1", of("a"));
    q.come("2", of("b"));
    CHECK(q.running.empty());
    CHECK(q.who_goes().empty());
    q.order.open(0, true);
    CHECK(q.who_goes() == "1 2");
}

TEST_CASE("who is put back is at the very head, in the order of the grants")
{
    named_queue q(2);
    const auto a = q.come("a1", of("a"));
    const auto b = q.come("b1", behind("b"));
    q.come("c1", of("c"));
    q.order.put_back(b);
    q.order.put_back(a);
    CHECK(q.order.in_use() == 0);
    CHECK(q.order.position(a, zero) == 1);
    CHECK(q.order.position(b, zero) == 2);
    q.running.clear();
    q.come("d1", of("d"));  // comes later, so does not go before them
    CHECK(q.running.empty());
    CHECK(q.who_goes() == "a1 b1");
    CHECK(q.end_one() == "c1");
}

TEST_CASE("being put back again and again costs a client no second turn")
{
    named_queue q;
    const auto a = q.come("a1", of("a"));
    for (int i = 0; i < 50; ++i) {
        q.order.put_back(a);
        CHECK(q.order.next(zero) == turnstile::grant{a, 0});
    }
    q.come("a2", of("a"));
    q.come("b1", of("b"));
    q.come("b2", of("b"));
    CHECK(q.the_rest() == "b1 a2 b2");
}

TEST_CASE("a heavy visitor is not starved by lighter ones behind it")
{
    named_queue q(4);
    for (int i = 0; i < 4; ++i)
        q.come("run", of("x"));
    const auto heavy = q.come("heavy", {"a", lane_of("m"), false, 3});
    for (const auto* client : {"b", "c"})
        q.come(client, of(client));
    CHECK(q.end_one().empty());
    CHECK(q.end_one().empty());
    CHECK(q.order.position(heavy, zero) == 1);
    CHECK(q.end_one() == "heavy");  // three are free
    CHECK(q.order.in_use() == 4);
    CHECK(q.end_one() == "b");
}

TEST_CASE("a heavy visitor held back only by its model keeps no permits from the others")
{
    named_queue q(3);
    q.come("m1", of("x", "m"));
    q.order.limit_model(0, "m", 1);
    q.come("heavy", {"a", lane_of("m"), false, 3});
    q.come("n1", of("b", "n"));
    CHECK(q.running.size() == 2);
    q.doors.shut("m");
    CHECK(q.end_one().empty());
    q.come("n2", of("b", "n"));
    CHECK(q.running.size() == 2);
}

TEST_CASE("a weight over the capacity counts as the capacity")
{
    named_queue q(2);
    const auto heavy = q.come("heavy", {"a", lane_of("m"), false, 1000});
    CHECK(q.order.in_use() == 2);
    q.come("1", of("b"));
    CHECK(q.running.size() == 1);
    q.order.finish(heavy, 1s);
    CHECK(q.order.in_use() == 0);
    CHECK(q.who_goes() == "1");
}

TEST_CASE("a heavy visitor has as many turns of its client's as it takes permits")
{
    named_queue q(2);
    q.come("run", {"x", lane_of("m"), false, 2});
    q.come("a1", {"a", lane_of("m"), false, 2});
    q.come("a2", {"a", lane_of("m"), false, 2});
    for (int i = 1; i <= 4; ++i)
        q.come("b" + std::to_string(i), of("b"));
    CHECK(q.end_one() == "a1");
    CHECK(q.end_one() == "b1 b2");
}

TEST_CASE("a new capacity leaves running visitors their permits")
{
    named_queue q(3);
    for (int i = 0; i < 3; ++i)
        q.come("run", of("x"));
    q.come("1", of("a"));
    q.order.set_capacity(0, 1);
    CHECK(q.order.in_use() == 3);
    CHECK(q.end_one().empty());
    CHECK(q.end_one().empty());
    CHECK(q.end_one() == "1");
    q.come("2", of("a"));
    q.order.set_capacity(0, 0);
    CHECK(q.end_one().empty());
    q.order.set_capacity(0, 1);
    CHECK(q.who_goes() == "2");
}

TEST_CASE("the longest-waiting visitor is known, whoever goes first")
{
    named_queue q;
    CHECK_FALSE(q.order.oldest());
    q.come("run", of("x"));
    q.come("bg", behind("a"), zero + 1s);
    const auto b = q.come("b", of("b"), zero + 2s);
    CHECK(q.order.oldest() == zero + 1s);
    CHECK(q.end_one(zero + 3s) == "b");
    q.order.put_back(b);
    CHECK(q.order.oldest() == zero + 1s);
    CHECK(q.who_goes(zero + 3s) == "b");
    q.running = {b};
    CHECK(q.end_one(zero + 3s) == "bg");
    CHECK_FALSE(q.order.oldest());
}
