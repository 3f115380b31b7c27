// Random sequences against a naive turnstile.
#include "admission/naive_turnstile.hpp"
#include "admission/shutters.hpp"

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
    pair_of(unsigned seed, place_id places, turnstile::limits l)
        : random_(seed), real_(l, doors_, places), naive_(l, doors_, places)
    {
        for (place_id p = 0; p < places; ++p)
            set_capacity(p, 1 + (seed + p) % 3);
    }

    void step()
    {
        now_ += std::chrono::milliseconds(roll(3000));
        if (roll(200) == 0)
            now_ += std::chrono::minutes(roll(20));
        const auto what = roll(100);
        if (what < 45)
            arrive();
        else if (what < 68)
            finish();
        else if (what < 78)
            leave();
        else if (what < 82)
            put_back();
        else if (what < 84)
            set_limits();
        else if (what < 86)
            set_capacity(place(), roll(6));
        else if (what < 88)
            limit_model();
        else if (what < 92)
            doors_.open_at(model(), roll(3) ? roll(1u << places()) : 0, options());
        else if (what < 93)
            open(place(), roll(3) != 0);
        else if (what < 95)
            move();
        else if (what < 97)
            let_in();
        else
            absurd();
        if (roll(8) != 0)  // an owner may be late
            drain();
        check();
    }

    // Everybody who is there is served: nothing is left over.
    void wind_up()
    {
        doors_.open_all();
        for (place_id p = 0; p < places(); ++p) {
            open(p, true);
            set_capacity(p, std::max(1u, real_.capacity(p)));
        }
        for (auto& o : std::vector<naive_turnstile::one>(naive_.all)) {
            if (o.waits())
                move(o.id, {o.who.lane.model, o.who.lane.options, 0});
        }
        auto left = naive_.all.size();
        while (!naive_.all.empty()) {
            now_ += 1s;
            drain();
            REQUIRE(pick(true));
            finish();
            check();
            REQUIRE(naive_.all.size() == --left);
        }
        CHECK(real_.waiting_all() == 0);
        CHECK(real_.in_use() == 0);
        CHECK_FALSE(real_.oldest());
        CHECK(real_.lanes().empty());
    }

private:
    static constexpr const char* models[] = {"a", "b", "c", "d"};

    unsigned roll(unsigned n) { return static_cast<unsigned>(random_() % n); }
    std::string model() { return models[roll(4)]; }
    std::string options() { return roll(4) ? "" : "num_ctx"; }
    place_id places() const { return static_cast<place_id>(naive_.places.size()); }
    place_id place() { return roll(places()); }
    lane_key lane() { return {model(), options(), roll(5) ? 0 : roll(1u << places())}; }

    const naive_turnstile::one* pick(bool runs)
    {
        std::vector<const naive_turnstile::one*> found;
        for (const auto& o : naive_.all) {
            if (o.runs == runs)
                found.push_back(&o);
        }
        return found.empty() ? nullptr : found[roll(static_cast<unsigned>(found.size()))];
    }

    void arrive()
    {
        visitor v{"client" + std::to_string(roll(6)), lane(), roll(4) == 0, roll(3) ? 1 : roll(6),
                  roll(10) == 0};
        const auto got = real_.arrive(v, now_);
        const auto id = got.id ? got.id : last_ + 1;
        REQUIRE(id > last_);
        last_ = id;
        REQUIRE(got.what == naive_.arrive(v, id, now_));
        if (got.what == turnstile::answer::granted || got.what == turnstile::answer::waiting) {
            REQUIRE(got.id != 0);
            REQUIRE(got.retry_after == 0);
            if (got.what == turnstile::answer::granted)
                granted({got.id, got.place});
        } else {
            REQUIRE_FALSE(v.errand);
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
            if (naive_.as_they_stand())
                REQUIRE(real_.position(id, now_) <= 1 + heads());
        }
    }
    std::size_t heads() const
    {
        return naive_.count([](const auto& o) { return o.put_back; });
    }
    void set_limits()
    {
        naive_.set.max_waiting = roll(60);
        naive_.set.max_waiting_per_client = roll(2) ? 0 : roll(12);
        real_.set_limits(naive_.set);
    }
    void set_capacity(place_id p, unsigned permits)
    {
        naive_.places[p].capacity = permits;
        real_.set_capacity(p, permits);
    }
    void limit_model()
    {
        const auto m = model();
        const auto p = place();
        const auto n = roll(4);
        naive_.model_limit[{p, m}] = n;
        real_.limit_model(p, m, n);
    }
    void open(place_id p, bool on)
    {
        naive_.places[p].is_open = on;
        real_.open(p, on);
    }
    void move()
    {
        if (const auto* o = pick(false))
            move(o->id, lane());
    }
    void move(turnstile::ticket t, const lane_key& to)
    {
        const auto* o = naive_.find(t, false);
        const bool in_line = o && o->call();
        naive_.move(t, to);
        real_.move(t, to);
        REQUIRE((real_.position(t, now_) != 0) == in_line);
    }
    void let_in()
    {
        if (const auto* o = pick(false)) {
            const auto id = o->id;
            const auto p = place();
            REQUIRE(naive_.let_in(id, p, now_));
            REQUIRE(real_.let_in(id, p, now_));
        }
    }
    // What a careless owner might do changes nothing.
    void absurd()
    {
        if (const auto* o = pick(false)) {
            real_.finish(o->id, 1s);
            real_.put_back(o->id);
            REQUIRE_FALSE(real_.let_in(o->id, places(), now_));
        }
        if (const auto* o = pick(true)) {
            real_.leave(o->id);
            real_.move(o->id, lane());
            REQUIRE_FALSE(real_.let_in(o->id, 0, now_));
        }
        real_.leave(0);
        real_.finish(last_ + 1000, 1s);
        real_.set_capacity(places(), 7);
        real_.limit_model(places(), "a", 1);
        real_.open(places(), false);
    }

    void drain()
    {
        for (;;) {
            const auto expected = naive_.next(now_);
            const auto got = real_.next(now_);
            REQUIRE(got.value_or(turnstile::grant{}) == expected);
            if (!got)
                return;
            granted(*got);
        }
    }

    // What must hold of every grant but those that were let in.
    void granted(turnstile::grant g)
    {
        const auto* o = naive_.find(g.id, true);
        REQUIRE(o);
        REQUIRE(o->at == g.place);
        const auto bit = place_set{1} << g.place;
        REQUIRE(naive_.places[g.place].is_open);
        REQUIRE((o->who.lane.barred & bit) == 0);
        REQUIRE((doors_.open_to(o->who.lane) & bit) != 0);
        if (o->call()) {
            REQUIRE(real_.in_use(g.place) <= real_.capacity(g.place));
            const auto limit = naive_.model_limit[{g.place, o->who.lane.model}];
            if (limit > 0)
                REQUIRE(real_.running(g.place, o->who.lane.model) <= limit);
        }
        for (const auto& other : naive_.all) {  // FIFO within a client, a class and a lane
            if (!o->from_head && other.waits() && !other.put_back &&
                other.who.client == o->who.client && other.who.background == o->who.background &&
                other.who.errand == o->who.errand && other.who.lane == o->who.lane)
                REQUIRE(other.id > o->id);
        }
    }

    void check()
    {
        unsigned capacity = 0;
        unsigned in_use = 0;
        for (place_id p = 0; p < places(); ++p) {
            REQUIRE(real_.in_use(p) == naive_.in_use(p));
            REQUIRE(real_.capacity(p) == naive_.places[p].capacity);
            capacity += real_.capacity(p);
            in_use += real_.in_use(p);
        }
        REQUIRE(real_.in_use() == in_use);
        REQUIRE(real_.capacity() == capacity);
        REQUIRE(real_.waiting() == naive_.waiting());
        REQUIRE(real_.waiting_all() == naive_.count([](const auto& o) { return o.waits(); }));
        check_each();
        check_lanes();
        check_models();
        for (int c = 0; c < 6; ++c) {
            const auto name = "client" + std::to_string(c);
            REQUIRE(real_.waiting_of_client(name) == naive_.waiting_of(name));
        }
    }
    void check_each()
    {
        std::optional<instant> oldest;
        const bool as_they_stand = naive_.as_they_stand();
        std::vector<bool> taken(naive_.waiting() + 1);
        for (const auto& o : naive_.all) {
            const auto position = real_.position(o.id, now_);
            if (as_they_stand)
                REQUIRE(position == naive_.position(o.id));
            const auto eta = real_.eta(o.id, now_);
            if (o.runs || !o.call()) {
                REQUIRE(position == 0);
                REQUIRE_FALSE(eta);
                continue;
            }
            REQUIRE(position < taken.size());
            REQUIRE_FALSE(taken[position]);
            taken[position] = true;
            REQUIRE((!eta || (*eta >= 0s && *eta < 24h)));
            REQUIRE_FALSE((eta && naive_.is_shut(o.who.lane)));
            if (!oldest || o.arrived < *oldest)
                oldest = o.arrived;
        }
        REQUIRE(real_.oldest() == oldest);
    }
    void check_lanes()
    {
        const auto expected = naive_.heads();
        const auto got = real_.lanes();
        REQUIRE(got.size() == expected.size());
        for (std::size_t i = 0; i < got.size(); ++i) {
            const auto& head = *expected[i];
            REQUIRE(*got[i].lane == head.who.lane);
            REQUIRE(got[i].first == head.id);
            REQUIRE(got[i].client == head.who.client);
            REQUIRE(got[i].oldest == head.arrived);
            REQUIRE(got[i].waiting == naive_.count([&](const auto& o) {
                return o.waits() && o.who.lane == head.who.lane;
            }));
            const auto passed = naive_.passed(head.who.lane);
            REQUIRE(got[i].passed == passed.times);
            REQUIRE(got[i].passed_since == passed.since);
        }
    }
    void check_models()
    {
        std::vector<std::string> waited_for;
        for (const auto* m : models) {
            const std::string name = m;
            std::size_t running = 0;
            for (place_id p = 0; p < places(); ++p) {
                REQUIRE(real_.running(p, name) == naive_.running(p, name));
                running += naive_.running(p, name);
            }
            REQUIRE(real_.running(name) == running);
            const auto of_it = [&](const auto& o) { return o.waits() && o.who.lane.model == name; };
            REQUIRE(real_.waiting(name) ==
                    naive_.count([&](const auto& o) { return of_it(o) && o.call(); }));
            if (naive_.count(of_it) > 0)
                waited_for.push_back(name);
        }
        auto named = real_.models_waited_for();
        std::sort(named.begin(), named.end());
        REQUIRE(named == waited_for);
    }

    std::mt19937 random_;
    shutters doors_;
    turnstile real_;
    naive_turnstile naive_;
    turnstile::ticket last_ = 0;
    instant now_ = zero;
};

}  // namespace

TEST_CASE("whatever happens, the queue agrees with a naive one and nothing is left over")
{
    for (unsigned seed = 1; seed <= 32; ++seed) {
        const place_id places = 1 + seed % 4;
        INFO("seed " << seed << ", " << places << " places");
        pair_of both(seed, places, {40, 0, {}});
        for (int i = 0; i < 1200; ++i)
            both.step();
        both.wind_up();
    }
}
