// Positions come true: the order in which calls are served when nobody comes or leaves is the order
// they were told, also where a ready model goes before one that has to be loaded.
#include "admission/shutters.hpp"
#include "admission/turnstile.hpp"
#include "models/swaps.hpp"

#include "catch.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

const instant zero = instant{} + 1000h;
constexpr std::uint64_t gib = 1ull << 30;

// Upstreams that load and unload at once, as swaps::decide says, and one turnstile before them.
// Each call of a model takes as long as all others of it.
class world : public doors {
public:
    world(place_id places, unsigned capacity, std::uint64_t budget)
        : t({100'000, 100'000, {}}, *this, places), at_(places), budget_(budget)
    {
        for (place_id p = 0; p < places; ++p)
            t.set_capacity(p, capacity);
    }

    place_set open_to(const lane_key& lane) const override
    {
        place_set open = 0;
        for (place_id p = 0; p < at_.size(); ++p) {
            if (at_[p].ready.count(lane.model) != 0 && at_[p].held.count(lane.model) == 0)
                open |= place_set{1} << p;
        }
        return open;
    }
    std::vector<outlook> outlooks(const std::vector<waiting_lane>& lanes,
                                  instant now) const override
    {
        ++looks;
        std::vector<outlook> all;
        for (const auto& l : lanes) {
            auto will = swaps::foresee(sites(), candidate(*l.lane));
            will.longest_passed = swaps::patience::bound({});
            will.passed_for = patience_.passed_for(l, {}, now);
            all.push_back(std::move(will));
        }
        return all;
    }

    void takes(const std::string& model, duration service) { service_[model] = service; }
    void has_ready(place_id p, const std::string& model) { at_[p].ready.insert(model); }
    // So that the averages are known.
    void teach()
    {
        for (const auto& [model, service] : service_) {
            for (auto& p : at_)
                p.ready.insert(model);
            const auto got = t.arrive({"teacher", lane_of(model)}, now);
            REQUIRE(got.what == turnstile::answer::granted);
            t.finish(got.id, service);
        }
        for (auto& p : at_)
            p.ready.clear();
    }
    turnstile::ticket comes(const std::string& client, const std::string& model,
                            bool background = false)
    {
        const auto got = t.arrive({client, lane_of(model), background}, now);
        if (got.what == turnstile::answer::granted)
            begins({got.id, got.place}, model);
        else
            models_[got.id] = model;
        think();
        began_.clear();
        return got.id;
    }
    // The next running call ends; who began then, in their order.
    std::vector<turnstile::ticket> one_ends()
    {
        REQUIRE_FALSE(running_.empty());
        const auto first = std::min_element(
            running_.begin(), running_.end(),
            [](const auto& a, const auto& b) { return a.second.ends < b.second.ends; });
        now = std::max(now, first->second.ends);
        t.finish(first->first, service_[first->second.model]);
        running_.erase(first);
        began_.clear();
        think();
        return std::exchange(began_, {});
    }
    bool anybody_runs() const { return !running_.empty(); }
    std::vector<turnstile::ticket> waiting() const
    {
        std::vector<turnstile::ticket> all;
        for (const auto& [id, model] : models_)
            all.push_back(id);
        return all;
    }

    turnstile t;
    instant now = zero;
    mutable std::size_t looks = 0;

private:
    struct place {
        std::set<std::string> ready, held;
        std::string swapped_in;
        std::size_t owed = 0;
        bool made_room = false;
    };
    struct one_running {
        std::string model;
        place_id at;
        instant ends;
    };

    swaps::candidate candidate(const lane_key& lane) const
    {
        swaps::candidate c;
        c.lane = lane;
        c.waiting = 1;
        c.need.assign(at_.size(), 4 * gib);
        for (place_id p = 0; p < at_.size(); ++p) {
            if (at_[p].ready.count(lane.model) != 0)
                c.served |= place_set{1} << p;
        }
        return c;
    }
    std::vector<swaps::site_view> sites() const
    {
        std::vector<swaps::site_view> all;
        for (place_id p = 0; p < at_.size(); ++p) {
            swaps::site_view v;
            v.budget = budget_;
            v.capacity = t.capacity(p);
            v.in_use = t.in_use(p);
            v.swapped_in = at_[p].swapped_in;
            v.owed = at_[p].owed;
            for (const auto& model : at_[p].ready) {
                swaps::resident r;
                r.model = model;
                r.size = 4 * gib;
                r.out = t.running(p, model);
                r.wanted = t.waiting(model);
                v.residents.push_back(r);
            }
            all.push_back(v);
        }
        return all;
    }
    void think()
    {
        for (bool again = true; std::exchange(again, false);) {
            std::vector<swaps::candidate> lanes;
            patience_.begin_look();
            for (const auto& l : t.lanes()) {
                lanes.push_back(candidate(*l.lane));
                lanes.back().impatient = patience_.impatient(l, {}, {}, now);
            }
            patience_.end_look();
            for (auto& p : at_)
                p.held.clear();
            for (const auto& a : swaps::decide(sites(), lanes)) {
                auto& p = at_[a.place];
                if (a.what == swaps::step::hold) {
                    p.held.insert(a.model);
                    continue;
                }
                again = true;
                if (a.what == swaps::step::unload) {
                    p.ready.erase(a.model);
                    p.made_room = true;
                } else {
                    p.ready.insert(a.model);
                    if (a.swap || std::exchange(p.made_room, false)) {
                        p.swapped_in = a.model;
                        p.owed = std::min(t.waiting(a.model), swaps::owed_after_swap);
                    }
                }
            }
            while (!again) {
                const auto next = t.next(now);
                if (!next)
                    break;
                begins(*next, models_.at(next->id));
                again = true;
                break;
            }
        }
    }
    void begins(turnstile::grant g, std::string model)
    {
        auto& p = at_[g.place];
        if (p.swapped_in == model && p.owed > 0)
            --p.owed;
        began_.push_back(g.id);
        models_.erase(g.id);
        const auto ends = now + service_[model];
        running_[g.id] = {std::move(model), g.place, ends};
    }

    std::vector<place> at_;
    std::uint64_t budget_;
    swaps::patience patience_;
    std::map<std::string, duration> service_;
    std::map<turnstile::ticket, std::string> models_;  // of those that wait
    std::map<turnstile::ticket, one_running> running_;
    std::vector<turnstile::ticket> began_;
};

// Who waits, in the order of the positions, which are 1 to n.
std::vector<turnstile::ticket> as_told(const world& w)
{
    const auto all = w.waiting();
    std::vector<turnstile::ticket> order(all.size());
    for (const auto id : all) {
        const auto position = w.t.position(id, w.now);
        REQUIRE(position >= 1);
        REQUIRE(position <= order.size());
        REQUIRE(order[position - 1] == 0);
        order[position - 1] = id;
    }
    return order;
}

std::vector<turnstile::ticket> as_served(world& w)
{
    std::vector<turnstile::ticket> order;
    while (w.anybody_runs()) {
        for (const auto id : w.one_ends())
            order.push_back(id);
    }
    return order;
}

}  // namespace

TEST_CASE("who must be loaded first is told behind those that go before it, up to its bound")
{
    world w(1, 1, 6 * gib);
    w.has_ready(0, "a");
    w.comes("first", "a");
    std::vector<turnstile::ticket> a, b;
    for (int i = 0; i < 3; ++i)
        b.push_back(w.comes("b" + std::to_string(i), "b"));
    for (int i = 0; i < 20; ++i)
        a.push_back(w.comes("a" + std::to_string(i), "a"));
    for (std::size_t i = 0; i < b.size(); ++i)
        CHECK(w.t.position(b[i], w.now) == 9 + i);
    for (std::size_t i = 0; i < a.size(); ++i)
        CHECK(w.t.position(a[i], w.now) == (i < 8 ? 1 + i : 4 + i));
    const auto told = as_told(w);
    CHECK(as_served(w) == told);
}

TEST_CASE("a lane that has been passed is told so many places less")
{
    world w(1, 1, 6 * gib);
    w.has_ready(0, "a");
    w.comes("first", "a");
    const auto b = w.comes("b", "b");
    for (int i = 0; i < 20; ++i)
        w.comes("a" + std::to_string(i), "a");
    for (std::size_t passed = 0; passed < 8; ++passed) {
        CHECK(w.t.position(b, w.now) == 9 - passed);
        w.one_ends();
    }
    CHECK(w.t.position(b, w.now) == 1);  // what is ready is held back for it now
    CHECK(w.one_ends() == std::vector{b});
}

TEST_CASE("long calls pass for fifteen seconds, and positions say so")
{
    world w(1, 1, 6 * gib);
    w.takes("a", 6s);
    w.takes("b", 6s);
    w.teach();
    w.has_ready(0, "a");
    w.comes("first", "a");
    const auto b = w.comes("b", "b");
    for (int i = 0; i < 20; ++i)
        w.comes("a" + std::to_string(i), "a");
    CHECK(w.t.position(b, w.now) == 4);
    const auto told = as_told(w);
    CHECK(as_served(w) == told);
}

TEST_CASE("a model that has room beside the others goes in its turn")
{
    world w(1, 1, 12 * gib);
    w.has_ready(0, "a");
    w.comes("first", "a");
    const auto b = w.comes("b", "b");
    const auto a = w.comes("a", "a");
    CHECK(w.t.position(b, w.now) == 1);
    CHECK(w.t.position(a, w.now) == 2);
    CHECK(as_served(w) == std::vector{b, a});
}

TEST_CASE("errands stand in no position and move nobody's")
{
    shutters doors;
    doors.shut("m");
    auto t = before_one_place(1, {100, 100, {}}, doors);
    t.arrive({"a", lane_of("n")}, zero);
    visitor load{"b", lane_of("m")};
    load.errand = true;
    const auto errand = t.arrive(load, zero).id;
    const auto call = t.arrive({"c", lane_of("n")}, zero).id;
    const auto shut = t.arrive({"d", lane_of("m")}, zero).id;
    CHECK(t.position(errand, zero) == 0);
    CHECK(t.position(call, zero) == 1);
    CHECK(t.position(shut, zero) == 2);
    CHECK(t.waiting() == 2);
}

TEST_CASE(
    "one upstream with room for one model serves in the order it told, however many permits it has")
{
    for (unsigned seed = 1; seed <= 200; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        auto roll = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
        world w(1, 1, 6 * gib);
        const std::vector<std::string> models{"a", "b", "c"};
        const bool timed = roll(2) == 0;
        for (const auto& m : models)
            w.takes(m, timed ? std::chrono::microseconds(200'000 + roll(9'000'000)) : 0us);
        if (timed)
            w.teach();
        w.has_ready(0, models[0]);
        w.t.set_capacity(0, 1 + roll(3));
        const auto many = 5 + roll(60);
        const auto kinds = 2 + roll(2);
        for (unsigned i = 0; i < many; ++i) {
            w.comes("client" + std::to_string(roll(8)), models[roll(kinds)], roll(5) == 0);
            w.now += std::chrono::microseconds(timed ? roll(100'000) : 0);
            if (roll(3) == 0 && w.anybody_runs())
                w.one_ends();
        }
        const auto told = as_told(w);
        REQUIRE(as_served(w) == told);
    }
}

TEST_CASE("with several upstreams and room for more models most are served as they were told")
{
    std::size_t all = 0;
    std::size_t exact = 0;
    std::size_t far = 0;  // all that they are off by
    for (unsigned seed = 1; seed <= 100; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random(seed);
        auto roll = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
        const place_id places = 1 + roll(2);
        world w(places, 1 + roll(3), (6 + 4 * roll(2)) * gib);
        const std::vector<std::string> models{"a", "b", "c"};
        for (const auto& m : models)
            w.takes(m, std::chrono::microseconds(200'000 + roll(9'000'000)));
        w.teach();
        for (unsigned i = 0; i < 50; ++i) {
            w.comes("client" + std::to_string(roll(8)), models[roll(3)], roll(5) == 0);
            w.now += std::chrono::microseconds(roll(100'000));
            if (roll(3) == 0 && w.anybody_runs())
                w.one_ends();
        }
        const auto told = as_told(w);
        const auto served = as_served(w);
        REQUIRE(served.size() == told.size());
        for (std::size_t i = 0; i < told.size(); ++i) {
            const auto at = std::find(served.begin(), served.end(), told[i]) - served.begin();
            const auto off = std::abs(at - static_cast<long>(i));
            ++all;
            exact += off == 0;
            far += static_cast<std::size_t>(off);
        }
    }
    // Ends that fall together, and who leaves when three share room for two, are anybody's guess.
    INFO(exact << " of " << all << " exactly as told, off by " << far << " together");
    CHECK(exact * 4 >= all * 3);
    CHECK(far <= 2 * all);
}

TEST_CASE("ten thousand told every second that a swap is ahead are looked at some times a second")
{
    constexpr unsigned many = 10'000;
    world w(1, 1, 6 * gib);
    w.has_ready(0, "a");
    w.comes("first", "a");
    std::vector<turnstile::ticket> line;
    for (unsigned i = 0; i < many; ++i) {
        visitor v{"c" + std::to_string(i), lane_of(i % 3 == 0 ? "b" : "a")};
        line.push_back(w.t.arrive(v, w.now).id);
    }
    w.looks = 0;
    std::size_t last = 0;
    for (unsigned i = 0; i < many; ++i) {
        w.now += 100us;
        if (i % 10 == 0) {  // one leaves and another comes
            w.t.leave(line[i]);
            line[i] = w.t.arrive({"d" + std::to_string(i), lane_of("b")}, w.now).id;
        }
        last = w.t.position(line[i], w.now);
        REQUIRE(last >= 1);
        REQUIRE(last <= many);
    }
    CHECK(w.looks >= 2);
    CHECK(w.looks <= 20);
    std::vector<bool> taken(many + 1);
    for (const auto id : line) {  // also between two looks no two are told the same
        const auto position = w.t.position(id, w.now);
        REQUIRE(position <= many);
        REQUIRE_FALSE(taken[position]);
        taken[position] = true;
    }
}
