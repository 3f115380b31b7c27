// What is loaded and unloaded next: single looks, and whole afternoons of traffic against a model
// of an upstream.
#include "models/swaps.hpp"

#include "catch.hpp"

#include <algorithm>
#include <deque>
#include <random>

using namespace gateway;
using namespace gateway::swaps;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t gib = 1ull << 30;

resident holds(std::string model, std::uint64_t size, std::size_t out = 0, std::size_t wanted = 0,
               int used = 0)
{
    resident r;
    r.model = std::move(model);
    r.size = size;
    r.out = out;
    r.wanted = wanted;
    r.last_used = instant{} + std::chrono::seconds(used);
    return r;
}

site_view site_of(std::optional<std::uint64_t> budget, std::vector<resident> residents)
{
    site_view s;
    s.budget = budget;
    s.residents = std::move(residents);
    s.capacity = 3;
    return s;
}

candidate wants(std::string model, std::uint64_t need, bool impatient = false)
{
    candidate c;
    c.lane.model = std::move(model);
    c.waiting = 1;
    c.impatient = impatient;
    c.need = {need, need, need};
    return c;
}

std::string told(const std::vector<action>& all)
{
    std::string text;
    for (const auto& a : all) {
        auto what = a.what == step::load ? "load" : a.what == step::unload ? "unload" : "hold";
        text += std::string(text.empty() ? "" : " ") + what + ":" + a.model + "@" +
                std::to_string(a.place);
    }
    return text;
}

}  // namespace

TEST_CASE("a model goes in when it fits, whatever runs beside it")
{
    auto s = site_of(24 * gib, {holds("a", 10 * gib, 3, 5)});
    CHECK(told(decide({s}, {wants("b", 14 * gib)})) == "load:b@0");
}

TEST_CASE("room is made by unloading idle models, the least recently used first")
{
    auto s = site_of(24 * gib, {holds("a", 10 * gib, 0, 0, 5), holds("b", 10 * gib, 0, 0, 3)});
    CHECK(told(decide({s}, {wants("c", 14 * gib)})) == "unload:b@0");
    CHECK(told(decide({s}, {wants("c", 20 * gib)})) == "unload:b@0 unload:a@0");
}

TEST_CASE("a busy model is waited for, and one that waits to the bound has its place kept for it")
{
    auto s = site_of(24 * gib, {holds("a", 20 * gib, 2, 4)});
    CHECK(told(decide({s}, {wants("b", 10 * gib)})).empty());
    CHECK(told(decide({s}, {wants("b", 10 * gib, true)})) == "hold:a@0");
    s.residents[0].out = 0;
    CHECK(told(decide({s}, {wants("b", 10 * gib, true)})) == "hold:a@0 unload:a@0");
}

TEST_CASE("an idle model that others wait for is not taken from them before the bound")
{
    auto s = site_of(24 * gib, {holds("a", 20 * gib, 0, 4)});
    CHECK(told(decide({s}, {wants("b", 10 * gib)})).empty());
    CHECK(told(decide({s}, {wants("b", 10 * gib, true)})) == "hold:a@0 unload:a@0");
}

TEST_CASE("after a swap so many calls of the new model go before the next")
{
    auto s = site_of(24 * gib, {holds("a", 20 * gib, 0, 4)});
    s.swapped_in = "a";
    s.owed = 3;
    CHECK(told(decide({s}, {wants("b", 10 * gib, true)})).empty());
    s.residents[0].wanted = 0;  // nobody is owed who does not wait
    CHECK(told(decide({s}, {wants("b", 10 * gib, true)})) == "unload:a@0");
}

TEST_CASE("what does not fit into the whole VRAM goes in alone")
{
    auto s = site_of(24 * gib, {holds("a", 4 * gib), holds("b", 4 * gib)});
    CHECK(told(decide({s}, {wants("huge", 40 * gib)})) == "unload:a@0 unload:b@0");
    CHECK(told(decide({site_of(24 * gib, {})}, {wants("huge", 40 * gib)})) == "load:huge@0");
}

TEST_CASE("nothing is loaded while what must leave is still there")
{
    auto s = site_of(24 * gib, {holds("a", 20 * gib)});
    s.residents[0].at = model_state::unloading;
    CHECK(told(decide({s}, {wants("b", 10 * gib)})).empty());
    CHECK(told(decide({s}, {wants("small", 2 * gib)})) == "load:small@0");
}

TEST_CASE("one load at a time")
{
    auto s = site_of(24 * gib, {});
    CHECK(told(decide({s}, {wants("a", gib), wants("b", gib)})) == "load:a@0");
    s.occupied = true;
    CHECK(told(decide({s}, {wants("b", gib)})).empty());
}

TEST_CASE("the same model with other options is a swap too")
{
    auto s = site_of(24 * gib, {holds("a", gib, 1, 2)});
    CHECK(told(decide({s}, {wants("a", gib)})).empty());
    CHECK(told(decide({s}, {wants("a", gib, true)})) == "hold:a@0");
    s.residents[0].out = 0;
    s.residents[0].wanted = 0;
    CHECK(told(decide({s}, {wants("a", gib)})) == "unload:a@0");
}

TEST_CASE("without a budget only pairs that pushed each other out are kept apart")
{
    auto s = site_of(std::nullopt, {holds("a", 20 * gib, 2, 0)});
    CHECK(told(decide({s}, {wants("b", 20 * gib)})) == "load:b@0");
    s.residents[0].wanted = 3;  // a load would hold them up
    CHECK(told(decide({s}, {wants("b", 20 * gib)})).empty());
    CHECK(told(decide({s}, {wants("b", 20 * gib, true)})) == "load:b@0");
    s.apart = [](const std::string&, const std::string&) { return true; };
    CHECK(told(decide({s}, {wants("b", 20 * gib, true)})) == "hold:a@0");
}

TEST_CASE("a stuck model keeps no other out, and is itself not waited for")
{
    auto s = site_of(24 * gib, {holds("a", 20 * gib)});
    s.residents[0].at = model_state::stuck;
    CHECK(told(decide({s}, {wants("b", 10 * gib)})) == "load:b@0");
    CHECK(told(decide({s}, {wants("a", 20 * gib)})).empty());
}

TEST_CASE("of several upstreams the one where it fits, then the one that served the client last")
{
    auto full = site_of(24 * gib, {holds("a", 20 * gib)});
    auto empty = site_of(24 * gib, {});
    CHECK(told(decide({full, empty}, {wants("b", 10 * gib)})) == "load:b@1");
    auto c = wants("b", 10 * gib);
    CHECK(told(decide({empty, empty}, {c})) == "load:b@0");
    c.last_served = 1;
    CHECK(told(decide({empty, empty}, {c})) == "load:b@1");
    c.lane.barred = 2;
    CHECK(told(decide({empty, empty}, {c})) == "load:b@0");
    auto busy = empty;
    busy.in_use = 2;
    CHECK(told(decide({busy, empty}, {wants("b", gib)})) == "load:b@1");
}

TEST_CASE("a second copy is loaded only when the first is full and it costs nobody anything")
{
    auto first = site_of(24 * gib, {holds("a", 10 * gib, 3, 1)});
    auto c = wants("a", 10 * gib);
    c.served = 1;
    c.full = true;
    CHECK(told(decide({first, site_of(24 * gib, {})}, {c})) == "load:a@1");
    CHECK(told(decide({first, site_of(24 * gib, {holds("b", 20 * gib)})}, {c})).empty());
    c.full = false;
    CHECK(told(decide({first, site_of(24 * gib, {})}, {c})).empty());
}

TEST_CASE("patience ends at so many turns, or after its time, of which loads take none")
{
    lane_key lane{"b", "", 0};
    turnstile::lane_view v;
    v.lane = &lane;
    patience p;
    auto t0 = instant{} + 1h;
    auto look = [&](std::size_t passed, duration since_start, duration loading) {
        v.passed = passed;
        v.passed_since = passed == 0 ? instant::max() : t0;
        p.begin_look();
        bool is = p.impatient(v, 2s, loading, t0 + since_start);
        p.end_look();
        return is;
    };
    CHECK_FALSE(look(0, 0s, 5s));
    CHECK_FALSE(look(7, 0s, 5s));
    CHECK(p.look_again() == t0 + 17s);
    CHECK(look(8, 0s, 5s));
    CHECK_FALSE(look(1, 16900ms, 5s));
    CHECK(look(1, 17s, 5s));
    CHECK_FALSE(look(1, 17s, 10s));  // five seconds of them went by in loads
    CHECK(p.look_again() == t0 + 22s);
}

namespace {

// An upstream with room for one model, calls of a fixed length, driven by the turnstile and swaps
// as the fleet does it. Time jumps from event to event.
class afternoon : public doors {
public:
    afternoon(unsigned permits, duration load, duration run, std::uint64_t budget)
        : load_(load), run_(run), budget_(budget), order_({100'000, 100'000, {}}, *this, 1)
    {
        order_.set_capacity(0, permits);
    }

    place_set open_to(const lane_key& lane) const override
    {
        return lane.model == ready_ && lane.model != held_ ? 1 : 0;
    }

    void arrive(const std::string& client, const std::string& model)
    {
        visitor v;
        v.client = client;
        v.lane.model = model;
        auto a = order_.arrive(v, now);
        if (a.what == turnstile::answer::granted)
            begin(a.id, model);
        else
            waits_[a.id] = {model, now};
        think();
    }

    // Until nothing is left to do.
    void run()
    {
        while (!running_.empty() || loading_until_ || unloading_until_) {
            auto next = instant::max();
            for (const auto& [t, r] : running_)
                next = std::min(next, r.until);
            for (auto until : {loading_until_, unloading_until_})
                if (until)
                    next = std::min(next, *until);
            next = std::min(next, look_again_);
            now = std::max(now, next);
            if (loading_until_ && now >= *loading_until_) {
                ready_ = loading_;
                loaded_at_ = calls_;
                owed_ = std::min(order_.waiting(ready_), owed_after_swap);
                ++swaps_;
                loads_total_ += load_;
                loading_until_.reset();
            }
            if (unloading_until_ && now >= *unloading_until_) {
                ready_.clear();
                unloading_until_.reset();
            }
            for (auto at = running_.begin(); at != running_.end();) {
                if (at->second.until > now) {
                    ++at;
                    continue;
                }
                order_.finish(at->first, run_);
                ++served_;
                at = running_.erase(at);
            }
            think();
        }
    }

    instant now = instant{} + 1h;
    std::size_t swaps() const { return swaps_; }
    std::size_t served() const { return served_; }
    duration longest() const { return longest_; }
    std::size_t waiting() const { return order_.waiting(); }

private:
    struct running {
        std::string model;
        instant until;
    };

    void begin(turnstile::ticket t, const std::string& model)
    {
        REQUIRE(ready_ == model);  // nothing runs on what is not there
        REQUIRE_FALSE(loading_until_);
        running_[t] = {model, now + run_};
        ++calls_;
        if (owed_ != 0)
            --owed_;
        if (auto w = waits_.find(t); w != waits_.end()) {
            longest_ = std::max(longest_, now - w->second.since);
            waits_.erase(w);
        }
    }

    void grant_all()
    {
        while (auto g = order_.next(now))
            begin(g->id, waits_.at(g->id).model);
    }

    void think()
    {
        grant_all();
        site_view s;
        s.budget = budget_;
        s.occupied = loading_until_.has_value();
        if (!ready_.empty()) {
            resident r;
            r.model = ready_;
            r.at = unloading_until_ ? model_state::unloading : model_state::ready;
            r.size = budget_;
            r.out = running_.size();
            r.wanted = order_.waiting(ready_);
            s.residents.push_back(r);
            s.swapped_in = ready_;
            s.owed = owed_;
        }
        std::vector<candidate> lanes;
        patience_.begin_look();
        for (const auto& l : order_.lanes()) {
            candidate c;
            c.lane = *l.lane;
            c.waiting = l.waiting;
            c.need = {budget_};
            if (l.lane->model == ready_ && !unloading_until_)
                c.served = 1;
            if (loading_until_ && l.lane->model == loading_)
                c.coming = 1;
            c.impatient = patience_.impatient(l, load_, loads_total_, now);
            lanes.push_back(c);
        }
        patience_.end_look();
        look_again_ = patience_.look_again();
        held_.clear();
        for (const auto& a : decide({s}, lanes)) {
            if (a.what == step::hold)
                held_ = a.model;
            else if (a.what == step::unload) {
                REQUIRE(running_.empty());  // never under a running call
                unloading_until_ = now + 5ms;
            } else {
                REQUIRE(running_.empty());
                loading_ = a.model;
                loading_until_ = now + load_;
            }
        }
        grant_all();
    }

    struct waiting_one {
        std::string model;
        instant since;
    };

    duration load_, run_;
    std::uint64_t budget_;
    turnstile order_;
    patience patience_;
    std::string ready_, loading_, held_;
    std::optional<instant> loading_until_, unloading_until_;
    instant look_again_ = instant::max();
    duration loads_total_{};
    std::map<turnstile::ticket, running> running_;
    std::map<turnstile::ticket, waiting_one> waits_;
    std::size_t owed_ = 0, loaded_at_ = 0, calls_ = 0, swaps_ = 0, served_ = 0;
    duration longest_{};
};

}  // namespace

TEST_CASE(
    "200 mixed calls over two models that do not fit together: all served, with a third of the "
    "swaps that first come first served takes, or fewer")
{
    std::mt19937 random(7);
    for (unsigned permits : {1u, 2u, 3u}) {
        afternoon a(permits, 3s, 1s, 20 * gib);
        std::string before;
        std::size_t fcfs = 0;
        for (int n = 0; n < 200; ++n) {
            std::string model = random() % 2 == 0 ? "a" : "b";
            fcfs += model != before;
            before = model;
            a.arrive("client" + std::to_string(n % 10), model);
        }
        a.run();
        CAPTURE(permits, fcfs, a.swaps());
        CHECK(a.served() == 200);
        CHECK(a.waiting() == 0);
        CHECK(a.swaps() * 3 <= fcfs);
    }
}

TEST_CASE("with a steady stream for one model another is served within the bound")
{
    // Every second two calls of `a`, one permit that serves one a second: it never runs dry.
    afternoon a(1, 2s, 1s, 20 * gib);
    for (int n = 0; n < 40; ++n)
        a.arrive("many", "a");
    a.arrive("one", "b");
    a.run();
    CHECK(a.served() == 41);
    // Eight turns of one second, one that had begun, and the load.
    CHECK(a.swaps() <= 3);
}

TEST_CASE("three models at random for an hour: nobody starves, nothing runs on what is not there")
{
    std::mt19937 random(11);
    for (int round = 0; round < 20; ++round) {
        afternoon a(1 + random() % 3, std::chrono::milliseconds(random() % 4000),
                    std::chrono::milliseconds(1 + random() % 900), 20 * gib);
        for (int n = 0; n < 300; ++n) {
            a.arrive(std::to_string(random() % 7), std::string(1, char('a' + random() % 3)));
            if (random() % 4 == 0)
                a.now += std::chrono::milliseconds(random() % 500);
        }
        a.run();
        CHECK(a.served() == 300);
        CHECK(a.waiting() == 0);
    }
}

TEST_CASE("room that was made for one who was passed over is not taken by the model that made way")
{
    // `b` has left for `c`, and stands before it in the order.
    CHECK(told(decide({site_of(6 * gib, {})}, {wants("b", 4 * gib), wants("c", 4 * gib, true)})) ==
          "load:c@0");
}
