// What must hold whatever the order is: permits and limits, nobody kept waiting beside what it
// could have, positions that come true, and no starvation.
#include "admission/shutters.hpp"
#include "admission/turnstile.hpp"

#include "catch.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

const instant zero = instant{} + 1000h;

}  // namespace

TEST_CASE(
    "capacity and model limits hold, permits are neither lost nor given twice, none lies idle")
{
    for (unsigned seed = 1; seed <= 24; ++seed) {
        std::mt19937 random(seed);
        const place_id places = 1 + seed % 3;
        const std::vector<std::string> models{"a", "b", "c"};
        const std::vector<std::size_t> limit{1000, 1, 2};  // of a, b, c at each place
        shutters doors;
        turnstile t({100, 100, {}}, doors, places);
        std::vector<unsigned> capacity;
        for (place_id p = 0; p < places; ++p) {
            capacity.push_back(static_cast<unsigned>(1 + random() % 6));
            t.set_capacity(p, capacity[p]);
            t.limit_model(p, "b", 1);
            t.limit_model(p, "c", 2);
        }
        struct one_running {
            visitor who;
            place_id at;
        };
        std::map<turnstile::ticket, one_running> running;
        std::map<turnstile::ticket, visitor> waiting;
        auto now = zero;
        const auto granted = [&](turnstile::ticket id, place_id at, const visitor& v) {
            REQUIRE((doors.open_to(v.lane) >> at & 1) != 0);
            REQUIRE(running.emplace(id, one_running{v, at}).second);
            waiting.erase(id);
        };
        for (int i = 0; i < 4000; ++i) {
            now += 1s;
            if (random() % 2) {
                visitor v{"c" + std::to_string(random() % 5), lane_of(models[random() % 3]),
                          random() % 5 == 0, static_cast<unsigned>(1 + random() % 3)};
                const auto got = t.arrive(v, now);
                if (got.what == turnstile::answer::granted)
                    granted(got.id, got.place, v);
                else if (got.what == turnstile::answer::waiting)
                    waiting[got.id] = v;
            } else if (!running.empty()) {
                auto at = std::next(running.begin(), static_cast<long>(random() % running.size()));
                t.finish(at->first, 3s);
                running.erase(at);
            }
            if (places > 1 && random() % 10 == 0)
                doors.open_at(models[random() % 3], random() % 8);
            while (const auto next = t.next(now)) {
                REQUIRE(waiting.count(next->id));
                granted(next->id, next->place, waiting[next->id]);
            }
            std::vector<unsigned> used(places);
            std::vector<std::map<std::string, std::size_t>> per_model(places);
            for (const auto& [id, r] : running) {
                used[r.at] += std::min(r.who.weight, capacity[r.at]);
                ++per_model[r.at][r.who.lane.model];
            }
            for (place_id p = 0; p < places; ++p) {
                REQUIRE(used[p] == t.in_use(p));
                REQUIRE(used[p] <= capacity[p]);
                REQUIRE(per_model[p]["b"] <= 1);
                REQUIRE(per_model[p]["c"] <= 2);
            }
            // In order: who may start somewhere waits only because not enough is free for it
            // there, or because what is free is kept for somebody before it.
            place_set kept = 0;
            for (const auto& lane : t.lanes()) {
                const auto& v = waiting[lane.first];
                const auto which = static_cast<std::size_t>(v.lane.model[0] - 'a');
                place_set may = 0;
                for (place_id p = 0; p < places; ++p) {
                    const auto bit = place_set{1} << p;
                    if ((doors.open_to(v.lane) & bit) == 0 ||
                        per_model[p][v.lane.model] >= limit[which])
                        continue;
                    may |= bit;
                    if ((kept & bit) == 0)
                        REQUIRE(used[p] + std::min(v.weight, capacity[p]) > capacity[p]);
                }
                kept |= may;
            }
        }
    }
}

TEST_CASE("a queue that nobody joins is served in the order of its positions")
{
    for (unsigned seed = 1; seed <= 30; ++seed) {
        std::mt19937 random(seed);
        auto t = before_one_place(2, {1000, 1000, {}});
        auto now = zero;
        std::vector<turnstile::ticket> running, waiting;
        for (int i = 0; i < 120; ++i) {
            const auto got = t.arrive({"c" + std::to_string(random() % (1 + seed % 9)),
                                       lane_of("m"), random() % 4 == 0, 1},
                                      now);
            (got.what == turnstile::answer::granted ? running : waiting).push_back(got.id);
            if (random() % 4 == 0 && !running.empty()) {
                t.finish(running.back(), 1s);
                running.pop_back();
                if (const auto next = t.next(now)) {
                    running.push_back(next->id);
                    std::erase(waiting, next->id);
                }
            }
            if (random() % 5 == 0 && !waiting.empty()) {
                const auto at = waiting.begin() + static_cast<long>(random() % waiting.size());
                t.leave(*at);
                waiting.erase(at);
            }
        }
        std::sort(waiting.begin(), waiting.end(),
                  [&](auto a, auto b) { return t.position(a, zero) < t.position(b, zero); });
        for (std::size_t i = 0; i < waiting.size(); ++i)
            REQUIRE(t.position(waiting[i], zero) == i + 1);
        for (const auto id : waiting) {
            t.finish(running.front(), 1s);
            running.erase(running.begin());
            REQUIRE(t.next(now) == turnstile::grant{id, 0});
            running.push_back(id);
        }
    }
}

TEST_CASE("nobody starves: however many new clients come, every visitor goes after bounded grants")
{
    // Ten calls of one client stand in line; each second a client never seen before comes too, in
    // another lane when there is more than one place.
    for (const place_id places : {1u, 2u}) {
        turnstile t({10000, 1000, {}}, open_doors, places);
        t.set_capacity(places - 1, 1);
        auto now = zero;
        auto out = t.arrive({"first", lane_of("m"), false, 1}, now).id;
        std::vector<turnstile::ticket> patient;
        for (int i = 0; i < 10; ++i)
            patient.push_back(t.arrive({"patient", lane_of("m"), false, 1}, now).id);
        int grants = 0;
        while (t.position(patient.back(), zero) != 0) {
            now += 1s;
            const auto model = places > 1 ? "n" + std::to_string(grants % 3) : "m";
            t.arrive({"stranger" + std::to_string(grants), lane_of(model), false, 1}, now);
            t.finish(out, 1s);
            const auto next = t.next(now);
            REQUIRE(next);
            out = next->id;
            REQUIRE(++grants <= 10 * 70);
        }
        CHECK(grants > 20);  // and they did not simply go first either
    }
}
