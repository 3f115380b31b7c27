// Random sequences against a naive turnstile and against what must hold whatever the order is.
#include "admission/naive_turnstile.hpp"

#include "catch.hpp"

#include <random>
#include <string>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

const instant zero = instant{} + 1000h;

// Drives both, and compares.
class pair_of {
public:
    pair_of(unsigned seed, turnstile::limits l) : random_(seed), real_(l) { naive_.set = l; }

    void step()
    {
        now_ += std::chrono::milliseconds(roll(3000));
        if (roll(200) == 0)
            now_ += std::chrono::minutes(roll(20));
        const auto what = roll(100);
        if (what < 45)
            arrive();
        else if (what < 70)
            finish();
        else if (what < 82)
            leave();
        else if (what < 86)
            put_back();
        else if (what < 88)
            set_limits();
        else if (what < 91)
            limit_model();
        else if (what < 95)
            block(roll(2) == 0);
        else if (what < 97)
            open(roll(3) != 0);
        else
            absurd();
        drain();
        check();
    }

    // Everybody who is there is served: nothing is left over.
    void wind_up()
    {
        open(true);
        for (const auto* m : models)
            unblock(m);
        turnstile::limits plenty = naive_.set;
        plenty.capacity = std::max(1u, plenty.capacity);
        real_.set_limits(plenty);
        naive_.set = plenty;
        auto left = naive_.all.size();
        while (!naive_.all.empty()) {
            now_ += 1s;
            drain();
            REQUIRE(running() > 0);
            finish();
            check();
            REQUIRE(naive_.all.size() == --left);
        }
        CHECK(real_.waiting() == 0);
        CHECK(real_.in_use() == 0);
        CHECK_FALSE(real_.oldest());
    }

private:
    static constexpr const char* models[] = {"a", "b", "c", "d"};

    unsigned roll(unsigned n) { return static_cast<unsigned>(random_() % n); }
    std::string model() { return models[roll(4)]; }

    const naive_turnstile::one* pick(bool runs)
    {
        std::vector<const naive_turnstile::one*> found;
        for (const auto& o : naive_.all) {
            if (o.runs == runs)
                found.push_back(&o);
        }
        return found.empty() ? nullptr : found[roll(static_cast<unsigned>(found.size()))];
    }
    std::size_t running() const { return naive_.all.size() - naive_.waiting(); }

    void arrive()
    {
        visitor v{"client" + std::to_string(roll(6)), model(), roll(4) == 0, roll(3) ? 1 : roll(6)};
        const auto got = real_.arrive(v, now_);
        const auto id = got.id ? got.id : last_ + 1;
        REQUIRE(id > last_);
        last_ = id;
        REQUIRE(got.what == naive_.arrive(v, id, now_));
        if (got.what == turnstile::answer::granted || got.what == turnstile::answer::waiting) {
            REQUIRE(got.id != 0);
            REQUIRE(got.retry_after == 0);
        } else {
            REQUIRE(got.id == 0);
            REQUIRE(got.retry_after >= 1);
            REQUIRE(got.retry_after <= 60);
        }
    }
    void finish()
    {
        if (const auto* o = pick(true)) {
            const auto id = o->id;
            naive_.finish(id);
            real_.finish(id, roll(3) ? std::optional<duration>(std::chrono::seconds(roll(90)))
                                     : std::nullopt);
        }
    }
    void leave()
    {
        if (const auto* o = pick(false)) {
            const auto id = o->id;
            naive_.leave(id);
            real_.leave(id);
        }
    }
    void put_back()
    {
        if (const auto* o = pick(true)) {
            const auto id = o->id;
            naive_.put_back(id);
            real_.put_back(id);
            REQUIRE(real_.position(id) <= 1 + heads());
        }
    }
    std::size_t heads() const
    {
        return naive_.count([](const auto& o) { return o.put_back; });
    }
    void set_limits()
    {
        naive_.set.capacity = roll(7);
        naive_.set.max_waiting = roll(60);
        naive_.set.max_waiting_per_client = roll(2) ? 0 : roll(12);
        real_.set_limits(naive_.set);
    }
    void limit_model()
    {
        const auto m = model();
        const auto n = roll(4);
        naive_.model_limit[m] = n;
        real_.limit_model(m, n);
    }
    void block(bool on)
    {
        const auto m = model();
        if (!on)
            return unblock(m);
        naive_.blocked.insert(m);
        real_.block(m);
    }
    void unblock(const std::string& m)
    {
        naive_.blocked.erase(m);
        real_.unblock(m);
    }
    void open(bool on)
    {
        naive_.is_open = on;
        real_.open(on);
    }
    // What a careless owner might do changes nothing.
    void absurd()
    {
        if (const auto* o = pick(false)) {
            real_.finish(o->id, 1s);
            real_.put_back(o->id);
        }
        if (const auto* o = pick(true))
            real_.leave(o->id);
        real_.leave(0);
        real_.finish(last_ + 1000, 1s);
    }

    void drain()
    {
        for (;;) {
            const auto expected = naive_.next(now_);
            const auto got = real_.next(now_);
            REQUIRE(got.value_or(0) == expected);
            if (!got)
                return;
            const auto* o = naive_.find(*got, true);
            for (const auto& other : naive_.all) {  // FIFO within a client, a class and a model
                if (!other.runs && !other.put_back && other.who.client == o->who.client &&
                    other.who.background == o->who.background && other.who.model == o->who.model)
                    REQUIRE(other.id > o->id);
            }
        }
    }

    void check()
    {
        REQUIRE(real_.in_use() == naive_.in_use());
        REQUIRE(real_.waiting() == naive_.waiting());
        REQUIRE(real_.capacity() == naive_.set.capacity);
        std::optional<instant> oldest;
        std::vector<bool> taken(naive_.waiting() + 1);
        for (const auto& o : naive_.all) {
            const auto position = real_.position(o.id);
            REQUIRE(position == naive_.position(o.id));
            const auto eta = real_.eta(o.id, now_);
            if (o.runs) {
                REQUIRE(position == 0);
                REQUIRE_FALSE(eta);
                continue;
            }
            REQUIRE(position < taken.size());
            REQUIRE_FALSE(taken[position]);
            taken[position] = true;
            REQUIRE((!eta || (*eta >= 0s && *eta < 24h)));
            REQUIRE_FALSE((eta && (!naive_.is_open || naive_.blocked.count(o.who.model))));
            if (!oldest || o.arrived < *oldest)
                oldest = o.arrived;
        }
        REQUIRE(real_.oldest() == oldest);
        for (const auto* m : models) {
            const std::string name = m;
            REQUIRE(real_.running(name) ==
                    naive_.count([&](const auto& o) { return o.runs && o.who.model == name; }));
            REQUIRE(real_.waiting(name) ==
                    naive_.count([&](const auto& o) { return !o.runs && o.who.model == name; }));
        }
        for (int c = 0; c < 6; ++c) {
            const auto name = "client" + std::to_string(c);
            REQUIRE(real_.waiting_of_client(name) == naive_.waiting_of(name));
        }
    }

    std::mt19937 random_;
    turnstile real_;
    naive_turnstile naive_;
    turnstile::ticket last_ = 0;
    instant now_ = zero;
};

}  // namespace

TEST_CASE("whatever happens, the queue agrees with a naive one and nothing is left over")
{
    for (unsigned seed = 1; seed <= 24; ++seed) {
        INFO("seed " << seed);
        pair_of both(seed, {3, 40, 0, {}});
        for (int i = 0; i < 1500; ++i)
            both.step();
        both.wind_up();
    }
}

TEST_CASE(
    "capacity and model limits hold, permits are neither lost nor given twice, none lies idle")
{
    for (unsigned seed = 1; seed <= 12; ++seed) {
        std::mt19937 random(seed);
        const auto capacity = static_cast<unsigned>(1 + random() % 6);
        turnstile t({capacity, 100, 0, {}});
        const std::vector<std::string> models{"a", "b", "c"};
        t.limit_model("b", 1);
        t.limit_model("c", 2);
        std::map<turnstile::ticket, visitor> running, waiting;
        auto now = zero;
        const auto granted = [&](turnstile::ticket id, const visitor& v) {
            REQUIRE(running.emplace(id, v).second);
            waiting.erase(id);
        };
        for (int i = 0; i < 4000; ++i) {
            now += 1s;
            if (random() % 2) {
                visitor v{"c" + std::to_string(random() % 5), models[random() % 3],
                          random() % 5 == 0, static_cast<unsigned>(1 + random() % 3)};
                const auto got = t.arrive(v, now);
                if (got.what == turnstile::answer::granted)
                    granted(got.id, v);
                else if (got.what == turnstile::answer::waiting)
                    waiting[got.id] = v;
            } else if (!running.empty()) {
                auto at = std::next(running.begin(), static_cast<long>(random() % running.size()));
                t.finish(at->first, 3s);
                running.erase(at);
            }
            while (const auto id = t.next(now)) {
                REQUIRE(waiting.count(*id));
                granted(*id, waiting[*id]);
            }
            unsigned used = 0;
            std::map<std::string, unsigned> per_model;
            for (const auto& [id, v] : running) {
                used += std::min(v.weight, capacity);
                ++per_model[v.model];
            }
            REQUIRE(used == t.in_use());
            REQUIRE(used <= capacity);
            REQUIRE(per_model["b"] <= 1);
            REQUIRE(per_model["c"] <= 2);
            // Somebody who may start and is first waits only because not enough is free for it.
            turnstile::ticket first = 0;
            for (const auto& [id, v] : waiting) {
                const bool may = v.model == "a" || (v.model == "b" && per_model["b"] < 1) ||
                                 (v.model == "c" && per_model["c"] < 2);
                if (may && (!first || t.position(id) < t.position(first)))
                    first = id;
            }
            if (first)
                REQUIRE(used + std::min(waiting[first].weight, capacity) > capacity);
        }
    }
}

TEST_CASE("a queue that nobody joins is served in the order of its positions")
{
    for (unsigned seed = 1; seed <= 30; ++seed) {
        std::mt19937 random(seed);
        turnstile t({2, 1000, 1000, {}});
        auto now = zero;
        std::vector<turnstile::ticket> running, waiting;
        for (int i = 0; i < 120; ++i) {
            const auto got = t.arrive(
                {"c" + std::to_string(random() % (1 + seed % 9)), "m", random() % 4 == 0, 1}, now);
            (got.what == turnstile::answer::granted ? running : waiting).push_back(got.id);
            if (random() % 4 == 0 && !running.empty()) {
                t.finish(running.back(), 1s);
                running.pop_back();
                if (const auto id = t.next(now)) {
                    running.push_back(*id);
                    std::erase(waiting, *id);
                }
            }
            if (random() % 5 == 0 && !waiting.empty()) {
                const auto at = waiting.begin() + static_cast<long>(random() % waiting.size());
                t.leave(*at);
                waiting.erase(at);
            }
        }
        std::sort(waiting.begin(), waiting.end(),
                  [&](auto a, auto b) { return t.position(a) < t.position(b); });
        for (std::size_t i = 0; i < waiting.size(); ++i)
            REQUIRE(t.position(waiting[i]) == i + 1);
        for (const auto id : waiting) {
            t.finish(running.front(), 1s);
            running.erase(running.begin());
            REQUIRE(t.next(now) == id);
            running.push_back(id);
        }
    }
}

TEST_CASE("nobody starves: however many new clients come, every visitor goes after bounded grants")
{
    // Ten calls of one client stand in line; each second a client never seen before comes too.
    turnstile t({1, 10000, 1000, {}});
    auto now = zero;
    const auto running = t.arrive({"first", "m", false, 1}, now).id;
    std::vector<turnstile::ticket> patient;
    for (int i = 0; i < 10; ++i)
        patient.push_back(t.arrive({"patient", "m", false, 1}, now).id);
    auto out = running;
    int grants = 0;
    while (t.position(patient.back()) != 0) {
        now += 1s;
        t.arrive({"stranger" + std::to_string(grants), "m", false, 1}, now);
        t.finish(out, 1s);
        const auto next = t.next(now);
        REQUIRE(next);
        out = *next;
        REQUIRE(++grants <= 10 * 70);
    }
    CHECK(grants > 20);  // and they did not simply go first either
}
