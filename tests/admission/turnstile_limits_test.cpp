// Who may wait and how long it will be: SPEC §5 "Full" and `eta_ms`.
#include "admission/clients.hpp"
#include "admission/known_models.hpp"
#include "admission/shutters.hpp"
#include "admission/turnstile.hpp"

#include "catch.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

using answer = turnstile::answer;

namespace {

const instant zero = instant{} + 1000h;

visitor of(const std::string& client, const std::string& model = "m")
{
    return {client, lane_of(model), false, 1};
}

// A turnstile that knows how long a model's calls take.
turnstile with_average(unsigned capacity, turnstile::limits l,
                       const std::vector<std::pair<std::string, duration>>& known,
                       const doors& at = open_doors)
{
    auto t = before_one_place(capacity, l, at);
    for (const auto& [model, average] : known)
        t.finish(t.arrive(of("history", model), zero).id, average);
    return t;
}

}  // namespace

TEST_CASE("at max_waiting an arrival is refused, and a place that frees is given again")
{
    auto t = before_one_place(1, {2, 100, {}});
    t.arrive(of("a"), zero);
    const auto second = t.arrive(of("b"), zero);
    t.arrive(of("c"), zero);
    const auto refused = t.arrive(of("d"), zero);
    CHECK(refused.what == answer::full);
    CHECK(refused.id == 0);
    CHECK(t.waiting() == 2);
    CHECK(t.waiting_of_client("d") == 0);
    t.leave(second.id);
    CHECK(t.arrive(of("d"), zero).what == answer::waiting);
}

TEST_CASE("a free permit is given though no place to wait is free")
{
    shutters doors;
    doors.shut("m");
    auto t = before_one_place(2, {1, 0, {}}, doors);
    CHECK(t.arrive(of("a"), zero).what == answer::waiting);
    CHECK(t.arrive(of("b", "n"), zero).what == answer::granted);
    auto none = before_one_place(1, {0, 0, {}});
    CHECK(none.arrive(of("a"), zero).what == answer::granted);
    CHECK(none.arrive(of("b"), zero).what == answer::full);
}

TEST_CASE("one client takes at most half of the places, so nobody locks the others out")
{
    auto t = before_one_place(1, {8, 0, {}});
    t.arrive(of("a"), zero);
    for (int i = 0; i < 4; ++i)
        CHECK(t.arrive(of("a"), zero).what == answer::waiting);
    CHECK(t.arrive(of("a"), zero).what == answer::client_full);  // 4 held, 4 free
    CHECK(t.arrive(of("b"), zero).what == answer::waiting);
    CHECK(t.arrive(of("b"), zero).what == answer::waiting);
    CHECK(t.arrive(of("b"), zero).what == answer::client_full);  // 2 held, 2 free
    CHECK(t.arrive(of("c"), zero).what == answer::waiting);
    CHECK(t.arrive(of("d"), zero).what == answer::waiting);
    CHECK(t.arrive(of("e"), zero).what == answer::full);
}

TEST_CASE("max_waiting_per_client is a client's own limit")
{
    auto t = before_one_place(1, {100, 2, {}});
    t.arrive(of("a"), zero);
    const auto first = t.arrive(of("a"), zero);
    CHECK(t.arrive(of("a"), zero).what == answer::waiting);
    CHECK(t.arrive(of("a"), zero).what == answer::client_full);
    CHECK(t.arrive(of("b"), zero).what == answer::waiting);
    t.leave(first.id);
    CHECK(t.arrive(of("a"), zero).what == answer::waiting);
}

TEST_CASE("a finite max_wait refuses on arrival what would wait longer")
{
    const turnstile::limits l{100, 100, 25s};
    auto t = with_average(1, l, {{"m", 10s}});
    t.arrive(of("a"), zero);
    CHECK(t.arrive(of("b"), zero).what == answer::waiting);  // 10 s
    CHECK(t.arrive(of("c"), zero).what == answer::waiting);  // 20 s
    const auto refused = t.arrive(of("d"), zero);            // 30 s
    CHECK(refused.what == answer::too_long);
    CHECK(refused.retry_after == 5);
    CHECK(t.arrive(of("d"), zero + 5s).what == answer::waiting);

    auto knows_nothing = before_one_place(1, l);
    for (int i = 0; i < 20; ++i)
        CHECK(knows_nothing.arrive(of("a"), zero).id != 0);
}

TEST_CASE("Retry-After is when a place frees, from 1 to 60 seconds")
{
    struct row {
        duration average, elapsed;
        int retry_after;
    };
    for (const auto& r : std::vector<row>{{20s, 0s, 20},
                                          {20s, 13s, 7},
                                          {20s, 13900ms, 7},
                                          {20s, 19500ms, 2},  // a tenth of the average is left
                                          {1ms, 0s, 1},
                                          {10min, 0s, 60}}) {
        INFO(seconds(r.average) << " " << seconds(r.elapsed));
        auto t = with_average(1, {1, 1, {}}, {{"m", r.average}});
        t.arrive(of("a"), zero);
        t.arrive(of("b"), zero);
        const auto refused = t.arrive(of("c"), zero + r.elapsed);
        CHECK(refused.what == answer::full);
        CHECK(refused.retry_after == r.retry_after);
    }
    // The client's own place, not just any one, when that is what it lacks.
    auto t = with_average(1, {100, 1, {}}, {{"m", 10s}});
    t.arrive(of("a"), zero);
    t.arrive(of("b"), zero);
    t.arrive(of("c"), zero);
    CHECK(t.arrive(of("c"), zero).retry_after == 20);
    CHECK(t.arrive(of("b"), zero).retry_after == 10);
}

TEST_CASE("eta is unknown until a model that goes before has an average")
{
    auto t = before_one_place(1, {100, 100, {}});
    const auto running = t.arrive(of("a"), zero).id;
    const auto second = t.arrive(of("b"), zero).id;
    const auto third = t.arrive(of("c", "n"), zero).id;
    const auto fourth = t.arrive(of("d"), zero).id;
    CHECK_FALSE(t.eta(second, zero));
    t.finish(running, 10s);
    CHECK(t.next(zero) == turnstile::grant{second, 0});
    CHECK(t.eta(third, zero) == 10s);
    CHECK(t.eta(third, zero + 4s) == 6s);
    CHECK_FALSE(t.eta(fourth, zero));  // nothing is known of n
    t.finish(second, std::nullopt);    // given up half way: no sample
    CHECK(t.next(zero) == turnstile::grant{third, 0});
    t.finish(third, 20s);
    CHECK(t.eta(second, zero) == std::nullopt);
}

TEST_CASE("eta is when a permit comes to a visitor")
{
    struct arrival {
        std::string client, model;
        duration at;
        unsigned weight = 1;
    };
    struct row {
        std::string what;
        unsigned capacity;
        std::vector<arrival> arrivals;
        std::vector<duration> etas;  // of those that wait, at 0 s
    };
    const std::vector<row> rows{
        {"one permit, one model",
         1,
         {{"a", "ten", 0s}, {"b", "ten", 0s}, {"c", "ten", 0s}, {"d", "ten", 0s}},
         {10s, 20s, 30s}},
        {"what runs has run a while",
         1,
         {{"a", "ten", -7s}, {"b", "ten", 0s}, {"c", "ten", 0s}},
         {3s, 13s}},
        {"what outlasts its average is not expected at once",
         1,
         {{"a", "ten", -100s}, {"b", "ten", 0s}},
         {1s}},
        {"three permits come back one after the other",
         3,
         {{"a", "ten", -8s},
          {"b", "ten", -5s},
          {"c", "ten", -1s},
          {"d", "ten", 0s},
          {"e", "ten", 0s},
          {"f", "ten", 0s},
          {"g", "ten", 0s}},
         {2s, 5s, 9s, 12s}},
        {"models take their own time",
         1,
         {{"a", "one", 0s}, {"b", "ten", 0s}, {"c", "one", 0s}, {"d", "ten", 0s}},
         {1s, 11s, 12s}},
        {"a heavy one waits for all it needs",
         2,
         {{"a", "ten", -8s}, {"b", "ten", -2s}, {"c", "ten", 0s, 2}},
         {8s}},
    };
    for (const auto& r : rows) {
        INFO(r.what);
        auto t = with_average(r.capacity, {100, 100, {}}, {{"one", 1s}, {"ten", 10s}});
        std::vector<turnstile::ticket> waiting;
        for (const auto& a : r.arrivals) {
            const auto got = t.arrive({a.client, lane_of(a.model), false, a.weight}, zero + a.at);
            if (got.what == answer::waiting)
                waiting.push_back(got.id);
        }
        std::vector<duration> etas;
        for (const auto id : waiting)
            etas.push_back(t.eta(id, zero).value_or(-1s));
        CHECK(etas == r.etas);
    }
}

TEST_CASE("a model's own limit is seen in its visitors' eta")
{
    auto t = with_average(4, {100, 100, {}}, {{"m", 10s}});
    t.limit_model(0, "m", 1);
    t.arrive(of("a"), zero);
    const auto first = t.arrive(of("b"), zero).id;
    const auto second = t.arrive(of("c"), zero).id;
    CHECK(t.eta(first, zero) == 10s);
    CHECK(t.eta(second, zero) == 20s);
}

TEST_CASE("the first permits that come back after the capacity was lowered are not counted on")
{
    auto t = with_average(3, {100, 100, {}}, {{"m", 10s}});
    for (const auto began : {-8s, -5s, -1s})
        t.arrive(of("a"), zero + began);
    const auto first = t.arrive(of("b"), zero).id;
    const auto second = t.arrive(of("c"), zero).id;
    CHECK(t.eta(first, zero) == 2s);
    t.set_capacity(0, 1);
    CHECK(t.eta(first, zero) == 9s);
    CHECK(t.eta(second, zero) > 9s);
}

TEST_CASE("eta of who cannot start is unknown")
{
    shutters doors;
    auto t = with_average(1, {100, 100, {}}, {{"m", 10s}}, doors);
    t.arrive(of("a"), zero);
    const auto waits = t.arrive(of("b"), zero).id;
    REQUIRE(t.eta(waits, zero));
    t.open(0, false);
    CHECK_FALSE(t.eta(waits, zero));
    t.open(0, true);
    doors.shut("m");
    CHECK_FALSE(t.eta(waits, zero));
    doors.open("m");
    t.set_capacity(0, 0);
    CHECK_FALSE(t.eta(waits, zero));
    CHECK_FALSE(t.eta(waits + 77, zero));
}

TEST_CASE("the average follows what was measured, a fifth at a time")
{
    queueing::moving_average average;
    CHECK_FALSE(average.known());
    average.add(10s);
    CHECK(average.value() == 10s);
    average.add(20s);
    CHECK(average.value() == 12s);
    average.add(-5s);
    CHECK(average.value() == 9600ms);
    average.add(duration::max());
    CHECK(average.value() < 5h);
}

TEST_CASE("clients are forgotten when they owe nothing, while others keep the queue busy")
{
    queueing::clients all;
    std::size_t remembered = 0;
    constexpr int strangers = 5000;
    for (int i = 0; i < strangers; ++i) {
        queueing::guest g;
        g.client = &all.named("stranger" + std::to_string(i));
        all.place_at_end(g, static_cast<std::uint64_t>(i) + 1);
        all.served(g, true);
        all.maybe_forget(*g.client);
    }
    for (int i = 0; i < strangers; ++i)
        remembered += all.find("stranger" + std::to_string(i)) != nullptr;
    CHECK(remembered < 200);
    CHECK(remembered > 0);  // the last ones have just had a turn

    auto& busy = all.named("busy");
    busy.here = 1;
    all.maybe_forget(busy);
    CHECK(all.find("busy"));
    all.forget_all();
    CHECK_FALSE(all.find("stranger" + std::to_string(strangers - 1)));
}

TEST_CASE("no more than a few hundred idle models are remembered, those used last")
{
    queueing::known_models models(1);
    auto& limited = models.named("limited");
    limited.limit(0, 2);
    for (std::uint64_t i = 0; i < 1000; ++i) {
        auto& m = models.named("m" + std::to_string(i));
        m.used = i + 1;
        m.service.add(1s);
        models.maybe_forget(m);
    }
    std::size_t remembered = 0;
    for (int i = 0; i < 1000; ++i)
        remembered += models.find("m" + std::to_string(i)) != nullptr;
    CHECK(remembered == queueing::known_models::remembered - 1);
    CHECK(models.find("m999"));
    CHECK_FALSE(models.find("m0"));
    CHECK(models.find("limited"));

    auto& unknown = models.named("unknown");
    models.maybe_forget(unknown);
    CHECK_FALSE(models.find("unknown"));
}

TEST_CASE("ten thousand waiting visitors are cheap to ask about and to let go")
{
    // The bounds are a hundred times what it takes: they fail what is not logarithmic, not a busy
    // machine.
    constexpr int many = 10000;
    auto t = with_average(3, {20000, 20000, {}}, {{"m0", 1s}, {"m1", 2s}, {"m2", 3s}});
    std::vector<turnstile::ticket> waiting;
    for (int i = 0; i < many; ++i) {
        const auto got = t.arrive(
            {"c" + std::to_string(i % 7), lane_of("m" + std::to_string(i % 3)), false, 1}, zero);
        if (got.what == answer::waiting)
            waiting.push_back(got.id);
    }
    REQUIRE(waiting.size() > many - 10);
    const auto begin = std::chrono::steady_clock::now();
    std::size_t sum = 0;
    for (const auto id : waiting)
        sum += t.position(id, zero) + (t.eta(id, zero) ? 1 : 0);
    CHECK(sum == waiting.size() * (waiting.size() + 1) / 2 + waiting.size());
    for (const auto id : waiting)  // front first: the worst for who follows
        t.leave(id);
    CHECK(t.waiting() == 0);
    CHECK(std::chrono::steady_clock::now() - begin < 20s);
}

TEST_CASE("the estimate of the last in line is that of the visitor with the highest position")
{
    auto t = with_average(1, {100, 100, {}}, {{"a", 10s}, {"b", 20s}});
    CHECK_FALSE(t.eta_of_last(zero));
    t.arrive(of("runs", "a"), zero);
    CHECK_FALSE(t.eta_of_last(zero));
    CHECK(t.models_waited_for().empty());
    std::vector<turnstile::ticket> waiting;
    for (int n = 0; n < 12; ++n)
        waiting.push_back(t.arrive(of(std::to_string(n % 5), n % 3 ? "a" : "b"), zero).id);
    auto last = *std::max_element(waiting.begin(), waiting.end(), [&](auto one, auto other) {
        return t.position(one, zero) < t.position(other, zero);
    });
    REQUIRE(t.position(last, zero) == 12);
    CHECK(t.eta_of_last(zero) == t.eta(last, zero));
    auto models = t.models_waited_for();
    std::sort(models.begin(), models.end());
    CHECK(models == std::vector<std::string>{"a", "b"});
}
