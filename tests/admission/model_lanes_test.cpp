// Lanes that are kept when nobody is in them any more.
#include "admission/model_lanes.hpp"

#include "catch.hpp"

#include <map>
#include <random>
#include <set>
#include <string>

using namespace gateway;
using namespace gateway::queueing;

namespace {

bool as_new(const model_lane& l)
{
    return l.empty() && l.waiting_weight == 0 && l.running == 0 && l.passed == 0 &&
           l.passed_since == instant::max() && l.doors_open == 0 && l.may_start == 0;
}

}  // namespace

TEST_CASE("a lane that everybody has left is as a new one, and a model is forgotten beside it")
{
    for (unsigned seed = 1; seed <= 10; ++seed) {
        std::mt19937 random(seed);
        known_models models(1);
        model_lanes lanes(models);
        std::map<lane_key, std::size_t> running;  // that are in use
        std::set<std::string> served;             // whose average is kept
        for (int i = 0; i < 5000; ++i) {
            // More lanes than are kept, and many of a model.
            const lane_key key{"m" + std::to_string(random() % 20),
                               random() % 3 == 0 ? "num_ctx" : "", random() % 2};
            const auto there = running.find(key);
            if (there == running.end() || random() % 3 == 0) {
                auto& l = lanes.of(key);
                REQUIRE(*l.key == key);
                REQUIRE(*l.model->name == key.model);
                REQUIRE(l.model == models.find(key.model));
                REQUIRE((there != running.end() || as_new(l)));
                if (random() % 4 == 0) {  // it is turned away
                    lanes.maybe_forget(l);
                } else {
                    ++l.running;
                    ++running[key];
                    l.passed = 3;
                    l.passed_since = instant{};
                    l.doors_open = l.may_start = 1;
                }
            } else {
                auto& l = lanes.of(key);
                REQUIRE(l.running == there->second);
                if (random() % 10 == 0) {
                    l.model->service.add(std::chrono::seconds(1));
                    served.insert(key.model);
                }
                --l.running;
                if (--there->second == 0)
                    running.erase(there);
                lanes.maybe_forget(l);
            }
            for (int m = 0; m < 20; ++m) {
                const auto name = "m" + std::to_string(m);
                std::size_t of_it = 0;
                for (const auto& [lane, n] : running)
                    of_it += lane.model == name ? 1 : 0;
                const auto* known = models.find(name);
                REQUIRE((known != nullptr) == (of_it > 0 || served.count(name) != 0));
                REQUIRE((known == nullptr || known->lanes == of_it));
            }
        }
    }
}

TEST_CASE("no more lanes are kept than some")
{
    known_models models(1);
    model_lanes lanes(models);
    for (int i = 0; i < 1000; ++i)
        lanes.maybe_forget(lanes.of({"m" + std::to_string(i), "", 0}));
    CHECK(lanes.size() == model_lanes::most_kept);
    CHECK(models.find("m999") == nullptr);
}
