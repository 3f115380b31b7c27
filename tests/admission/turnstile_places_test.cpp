// Several places: where a call goes, what is kept for whom, errands, moves, and what is told to
// whoever decides what is loaded next.
#include "admission/served_before.hpp"
#include "admission/shutters.hpp"
#include "admission/turnstile.hpp"

#include "catch.hpp"

#include <chrono>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

using answer = turnstile::answer;

namespace {

const instant zero = instant{} + 1000h;

visitor of(const std::string& client, const std::string& model = "m", place_set barred = 0)
{
    return {client, {model, "", barred}, false, 1};
}
visitor heavy(const std::string& client, unsigned weight)
{
    return {client, lane_of("m"), false, weight};
}
visitor errand(const std::string& client, const std::string& model = "m")
{
    return {client, lane_of(model), false, 1, true};
}

struct queue {
    explicit queue(const std::vector<unsigned>& capacities, turnstile::limits l = {1000, 1000, {}})
        : order(l, doors, static_cast<place_id>(capacities.size()))
    {
        for (place_id p = 0; p < capacities.size(); ++p)
            order.set_capacity(p, capacities[p]);
    }
    // Must be granted at once; at which place?
    place_id goes_to(const visitor& v)
    {
        const auto got = order.arrive(v, zero);
        REQUIRE(got.what == answer::granted);
        last = got.id;
        return got.place;
    }
    turnstile::ticket waits(const visitor& v, instant now = zero)
    {
        const auto got = order.arrive(v, now);
        REQUIRE(got.what == answer::waiting);
        return got.id;
    }
    turnstile::ticket runs(const visitor& v)
    {
        goes_to(v);
        return last;
    }

    shutters doors;
    turnstile order;
    turnstile::ticket last = 0;
};

using granted = std::optional<turnstile::grant>;

}  // namespace

TEST_CASE("a place begins open, and without a permit")
{
    turnstile t({10, 10, {}}, open_doors, 2);
    CHECK(t.capacity() == 0);
    CHECK(t.arrive(of("a"), zero).what == answer::waiting);
    CHECK_FALSE(t.next(zero));
    t.set_capacity(1, 1);
    CHECK(t.next(zero) == granted({1, 1}));
}

TEST_CASE("a call goes to the least busy of the places that would take it, or to the first")
{
    queue q({2, 4});
    CHECK(q.goes_to(of("a")) == 0);  // 0/2 0/4
    CHECK(q.goes_to(of("b")) == 1);  // 1/2 0/4
    CHECK(q.goes_to(of("c")) == 1);  // 1/2 1/4
    CHECK(q.goes_to(of("d")) == 0);  // 1/2 2/4
    CHECK(q.goes_to(of("e")) == 1);
    CHECK(q.goes_to(of("f")) == 1);
    CHECK(q.order.arrive(of("g"), zero).what == answer::waiting);
    CHECK(q.order.in_use(0) == 2);
    CHECK(q.order.in_use(1) == 4);
    CHECK(q.order.in_use() == 6);
    CHECK(q.order.capacity() == 6);
}

TEST_CASE("a call goes to where its client was last served with that model, if that is free")
{
    queue q({2, 2});
    const auto before = q.runs(of("x"));
    q.goes_to(of("a"));
    REQUIRE(q.order.in_use(1) == 1);
    q.order.finish(q.last, 1s);
    q.order.finish(before, std::nullopt);
    CHECK(q.order.last_served("a", "m") == 1u);
    CHECK(q.order.last_served("x", "m") == 0u);
    CHECK_FALSE(q.order.last_served("a", "n"));
    CHECK_FALSE(q.order.last_served("b", "m"));

    CHECK(q.goes_to(of("a", "n")) == 0);  // another model
    CHECK(q.goes_to(of("a")) == 1);
    CHECK(q.goes_to(of("a")) == 1);  // busier, but its own
    CHECK(q.goes_to(of("a")) == 0);  // the other has no permit left
}

TEST_CASE("a call that was put back was not served there")
{
    queue q({1, 1});
    const auto a = q.runs(of("a"));
    q.order.put_back(a);
    CHECK_FALSE(q.order.last_served("a", "m"));
}

TEST_CASE("where some thousand clients were last served is remembered, and no more than that")
{
    queueing::served_before all;
    const queueing::text_hash hash;
    const auto m = hash("m");
    for (int i = 0; i < 100'000; ++i)
        all.note(hash("client" + std::to_string(i)), m, static_cast<place_id>(i % 7));
    int kept = 0;
    for (int i = 0; i < 100'000; ++i) {
        const auto at = all.last(hash("client" + std::to_string(i)), m);
        kept += at.has_value();
        REQUIRE((!at || *at == static_cast<place_id>(i % 7)));
        if (i >= 99'900)
            CHECK(at);
    }
    CHECK(kept <= static_cast<int>(all.rows * all.per_row));
    CHECK(kept > 2000);
    all.note(hash("client99999"), m, 3);
    CHECK(all.last(hash("client99999"), m) == 3u);
}

TEST_CASE("nobody goes to a place that is barred, closed, or whose door is shut")
{
    queue q({1, 1, 1, 1});
    q.doors.open_at("m", 0b1110);
    q.order.open(2, false);
    CHECK(q.goes_to(of("a", "m", 0b0010)) == 3);
    const auto waits = q.waits(of("b", "m", 0b1010));
    CHECK(q.goes_to(of("c")) == 1);  // not held up by the one that waits for 2
    CHECK_FALSE(q.order.next(zero));
    q.order.open(2, true);
    CHECK(q.order.next(zero) == granted({waits, 2}));
}

TEST_CASE("doors open to a lane, not to a model")
{
    queue q({2});
    q.doors.open_at("m", 0, "num_ctx");
    const auto waits = q.waits({"a", {"m", "num_ctx", 0}, false, 1});
    CHECK(q.goes_to(of("a")) == 0);
    CHECK(q.order.waiting("m") == 1);
    CHECK(q.order.models_waited_for() == std::vector<std::string>{"m"});
    q.doors.open_all();
    CHECK(q.order.next(zero) == granted({waits, 0}));
    CHECK(q.order.running("m") == 2);
    CHECK(q.order.running(0, "m") == 2);
}

TEST_CASE("a model's limit at a place counts its calls there, over all its lanes")
{
    queue q({4, 4});
    q.order.limit_model(0, "m", 1);
    q.order.limit_model(1, "m", 2);
    CHECK(q.goes_to(of("a")) == 0);
    CHECK(q.goes_to({"b", {"m", "num_ctx", 0}, false, 1}) == 1);
    CHECK(q.goes_to(of("c")) == 1);
    const auto waits = q.waits({"d", {"m", "num_ctx", 0}, false, 1});
    CHECK(q.goes_to(of("e", "n")) == 0);
    CHECK(q.order.running("m") == 3);
    q.order.limit_model(0, "m", 0);
    CHECK(q.order.next(zero) == granted({waits, 0}));
}

TEST_CASE("permits are kept for a heavy call where it may go, and only there")
{
    queue q({2, 2, 1});
    const auto first = q.runs(of("x"));
    const auto second = q.runs(of("x", "m", 0b001));
    REQUIRE(q.order.in_use(1) == 1);
    auto big = heavy("a", 2);
    big.lane.barred = 0b100;
    const auto waits = q.waits(big);
    // One is free at each of the first two, but kept.
    const auto lighter = q.waits(of("b", "m", 0b100));
    CHECK(q.goes_to(of("c")) == 2);
    CHECK_FALSE(q.order.next(zero));
    q.order.finish(second, 1s);
    CHECK(q.order.next(zero) == granted({waits, 1}));
    CHECK(q.order.next(zero) == granted({lighter, 0}));  // nothing is kept any more
    q.order.finish(first, 1s);
}

TEST_CASE("a call heavier than a place runs alone there")
{
    queue q({2, 8});
    CHECK(q.goes_to(heavy("a", 100)) == 0);
    CHECK(q.order.in_use(0) == 2);
    CHECK(q.goes_to(heavy("b", 100)) == 1);
    CHECK(q.order.in_use(1) == 8);
    CHECK(q.order.arrive(of("c"), zero).what == answer::waiting);
}

TEST_CASE("a lowered capacity takes no permit back, and nobody is granted there until enough came")
{
    queue q({2, 1});
    const auto a = q.runs(of("a"));
    q.goes_to(of("b"));
    const auto c = q.runs(of("c"));
    const auto waits = q.waits(of("d"));
    q.order.set_capacity(0, 1);
    q.order.finish(a, 1s);
    CHECK_FALSE(q.order.next(zero));
    q.order.finish(c, 1s);
    CHECK(q.order.next(zero) == granted({waits, 0}));
}

TEST_CASE("who is let in goes past door and limits, and its permit comes back as it was given")
{
    queue q({1, 1});
    q.goes_to(of("x"));
    q.doors.shut("m");
    q.order.open(0, false);
    const auto a = q.waits(of("a"));
    const auto b = q.waits(of("b"));
    CHECK_FALSE(q.order.let_in(b, 2, zero));
    CHECK_FALSE(q.order.let_in(b + 50, 0, zero));
    CHECK(q.order.let_in(b, 0, zero));
    CHECK_FALSE(q.order.let_in(b, 0, zero));
    CHECK(q.order.in_use(0) == 2);
    CHECK(q.order.position(a, zero) == 1);
    CHECK(q.order.running("m") == 2);
    q.order.finish(b, 1s);
    CHECK(q.order.in_use(0) == 1);
}

TEST_CASE("who is let in past a lane whose door has just been shut passes it")
{
    queue q({1});
    q.goes_to(of("x"));
    q.waits(of("a", "n"));
    const auto b = q.waits(of("b"));
    q.doors.shut("n");
    REQUIRE(q.order.let_in(b, 0, zero + 5s));
    REQUIRE(q.order.lanes().size() == 1);
    CHECK(q.order.lanes()[0].passed == 1);
    CHECK(q.order.lanes()[0].passed_since == zero + 5s);
}

TEST_CASE("a call that moves to another lane keeps its place in the order")
{
    queue q({1});
    const auto running = q.runs(of("x"));
    q.doors.shut("gone");
    const auto a = q.waits(of("a", "gone"));
    const auto b = q.waits(of("b"));
    const auto c = q.waits(of("c"));
    q.order.move(a, lane_of("m"));
    CHECK(q.order.position(a, zero) == 1);
    CHECK(q.order.waiting("gone") == 0);
    CHECK(q.order.waiting("m") == 3);
    q.order.move(running, lane_of("n"));  // it does not wait
    CHECK(q.order.running("m") == 1);
    q.order.finish(running, 1s);
    CHECK(q.order.next(zero) == granted({a, 0}));
    q.order.put_back(a);
    q.order.move(a, lane_of("gone"));
    CHECK(q.order.position(a, zero) == 3);  // as long as that door is shut
    CHECK(q.order.next(zero) == granted({b, 0}));
    q.order.move(a, lane_of("n"));
    q.order.finish(b, 1s);
    CHECK(q.order.next(zero) == granted({a, 0}));
    CHECK(q.order.position(c, zero) == 1);
}

TEST_CASE("an errand needs no permit and no waiting place, only an open door")
{
    queue q({1}, {1, 1, {}});
    q.order.limit_model(0, "m", 1);
    q.goes_to(of("x"));
    const auto call = q.waits(of("a"));
    CHECK(q.order.arrive(of("b"), zero).what == answer::full);
    CHECK(q.goes_to(errand("a")) == 0);  // past the call that waits for a permit
    CHECK(q.order.in_use() == 1);
    CHECK(q.order.running("m") == 1);
    CHECK(q.order.waiting() == 1);

    q.doors.shut("n");
    const auto first = q.waits(errand("a", "n"), zero + 1s);
    const auto second = q.waits(errand("c", "n"), zero + 2s);
    CHECK(q.order.waiting() == 1);
    CHECK(q.order.waiting_all() == 3);
    CHECK(q.order.waiting("n") == 0);
    CHECK(q.order.waiting_of_client("a") == 1);
    CHECK(q.order.position(call, zero) == 1);
    CHECK_FALSE(q.order.eta(first, zero));
    CHECK(q.order.models_waited_for() == std::vector<std::string>{"m", "n"});
    q.doors.open("n");
    CHECK(q.order.next(zero) == granted({first, 0}));
    CHECK(q.order.next(zero) == granted({second, 0}));
    CHECK_FALSE(q.order.next(zero));
    q.order.finish(first, 60s);
    CHECK_FALSE(q.order.last_served("a", "n"));
    q.order.put_back(second);
    CHECK(q.order.waiting_all() == 2);
    CHECK(q.order.next(zero) == granted({second, 0}));
    q.order.finish(second, std::nullopt);
    CHECK(q.order.waiting_all() == 1);
    CHECK(q.order.oldest() == zero);
    CHECK(q.order.anybody_waits());
    q.order.leave(call);
    CHECK_FALSE(q.order.anybody_waits());
}

TEST_CASE("an errand costs its client no turn, and does not run ahead of the clock")
{
    queue q({1});
    auto running = q.runs(of("x"));
    std::vector<turnstile::ticket> calls;
    for (int i = 0; i < 20; ++i)
        calls.push_back(q.waits(of("a")));
    q.goes_to(errand("a"));
    q.goes_to(errand("b"));
    const auto b = q.waits(of("b"));
    CHECK(q.order.position(b, zero) == 2);
    q.order.finish(running, 1s);
    CHECK(q.order.next(zero) == granted({calls[0], 0}));
    q.order.finish(calls[0], 1s);
    CHECK(q.order.next(zero) == granted({b, 0}));
}

TEST_CASE("lanes are told in the order of their heads")
{
    queue q({1});
    q.goes_to(of("x"));
    q.doors.shut("n");
    const auto n = q.waits(errand("e", "n"), zero + 1s);
    const auto m = q.waits(of("a", "m"), zero + 2s);
    q.waits(of("a", "n"), zero + 3s);
    const auto o = q.waits({"b", {"o", "num_ctx", 2}, false, 1}, zero + 4s);
    const auto lanes = q.order.lanes();
    REQUIRE(lanes.size() == 3);
    CHECK(*lanes[0].lane == lane_of("n"));
    CHECK(lanes[0].waiting == 2);
    CHECK(lanes[0].first == n);
    CHECK(lanes[0].client == "e");
    CHECK(lanes[0].oldest == zero + 1s);
    CHECK(lanes[1].first == m);
    CHECK(*lanes[2].lane == lane_key{"o", "num_ctx", 2});
    CHECK(lanes[2].first == o);
    CHECK(lanes[2].client == "b");
}

TEST_CASE("a lane whose doors are shut counts how often it was passed, until it is granted")
{
    queue q({1});
    auto running = q.runs(of("x"));
    const auto next = [&](turnstile::ticket expected, instant now) {
        q.order.finish(running, 1s);
        REQUIRE(q.order.next(now) == granted({expected, 0}));
        running = expected;
    };
    const auto passed = [&](const std::string& model) {
        for (const auto& l : q.order.lanes()) {
            if (l.lane->model == model)
                return l;
        }
        return turnstile::lane_view{};
    };
    q.doors.shut("n");
    const auto before = q.waits(of("a"));
    const auto n = q.waits(of("b", "n"));
    const auto n2 = q.waits(of("b2", "n"));
    const auto after = q.waits(of("c"));
    const auto later = q.waits(of("d"));
    const auto latest = q.waits(of("e"));

    next(before, zero + 1s);  // stood before it
    CHECK(passed("n").passed == 0);
    CHECK(passed("n").passed_since == instant::max());
    next(after, zero + 2s);
    next(later, zero + 3s);
    CHECK(passed("n").passed == 2);
    CHECK(passed("n").passed_since == zero + 2s);
    q.goes_to(errand("f"));  // takes nobody's permit
    CHECK(passed("n").passed == 2);
    q.order.leave(n);  // the lane's, not the visitor's
    CHECK(passed("n").passed == 2);
    q.doors.open("n");
    next(n2, zero + 4s);
    q.doors.shut("n");
    const auto n3 = q.waits(of("g", "n"));
    CHECK(passed("n").passed == 0);
    q.order.finish(running, 1s);
    REQUIRE(q.order.next(zero) == granted({latest, 0}));  // stood before n3
    CHECK(passed("n").passed == 0);
    q.order.finish(latest, 1s);
    CHECK(q.goes_to(of("h")) == 0);  // one that comes and goes at once passes it, too
    CHECK(passed("n").passed == 1);
    q.order.leave(n3);
    const auto n4 = q.waits(of("g", "n"));  // it was empty meanwhile
    CHECK(passed("n").passed == 0);

    // Held up by its model's limit, or by there being no permit, it is not passed.
    q.doors.open("n");
    q.order.limit_model(0, "n", 1);
    q.order.set_capacity(0, 3);
    CHECK(q.order.next(zero) == granted({n4, 0}));
    q.waits(of("i", "n"));
    CHECK(q.goes_to(of("j")) == 0);
    CHECK(passed("n").passed == 0);
}

TEST_CASE("eta counts the permits of all places that are open and not barred")
{
    queue q({1, 1});
    q.order.finish(q.runs(of("history")), 10s);
    q.goes_to(of("a"));
    q.goes_to(of("b"));
    const auto first = q.waits(of("c"));
    const auto second = q.waits(of("d"));
    const auto third = q.waits(of("e"));
    CHECK(q.order.eta(first, zero + 4s) == 6s);
    CHECK(q.order.eta(second, zero + 4s) == 6s);
    CHECK(q.order.eta(third, zero + 4s) == 16s);
    CHECK(q.order.eta_of_last(zero + 4s) == 16s);
    q.order.move(third, {"m", "", 0b10});
    CHECK(q.order.eta(third, zero + 4s) == 26s);
    q.order.open(0, false);
    CHECK_FALSE(q.order.eta(third, zero + 4s));
    CHECK(q.order.eta(second, zero + 4s) == 16s);
    q.order.limit_model(1, "m", 1);
    CHECK(q.order.eta(second, zero + 4s) == 16s);
    q.doors.open_at("m", 0b01);
    CHECK_FALSE(q.order.eta(second, zero + 4s));
}

TEST_CASE("a model's limit is seen in its visitors' eta when it has one at every place")
{
    queue q({1, 1});
    q.order.finish(q.runs(of("history")), 10s);
    q.order.limit_model(1, "m", 1);
    q.goes_to(of("a"));
    q.goes_to(of("b"));
    q.waits(of("c"));
    const auto second = q.waits(of("d"));
    CHECK(q.order.eta(second, zero) == 10s);
    q.goes_to(errand("e", "new"));  // nothing is known of that model, but it takes no permit
    CHECK(q.order.eta(second, zero) == 10s);
    q.order.set_capacity(0, 2);
    q.order.limit_model(0, "m", 1);
    CHECK(q.order.eta(second, zero) == 10s);
    const auto third = q.waits(of("f"));
    CHECK(q.order.eta(third, zero) == 20s);
}
