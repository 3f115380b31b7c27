// The calls that are out, in random order, against a map of them.
#include "models/calls_out.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>

using namespace gateway;

TEST_CASE("calls that are out are found by their numbers and stand in the order of these")
{
    for (unsigned seed = 1; seed <= 20; ++seed) {
        std::mt19937 random(seed);
        calls_out<int> flat;
        std::map<std::uint64_t, int> plain;
        std::uint64_t last = 0;
        for (int i = 0; i < 2000; ++i) {
            const std::uint64_t some = 1 + random() % (last + 2);
            const auto grows = seed % 2 == 0 && plain.size() < 100 ? 3U : 2U;  // few, or many
            if (random() % 4 < grows) {
                const auto id = random() % 4 == 0 ? some : ++last;  // mostly the greatest so far
                last = std::max(last, id);
                flat.put(id, i);
                plain.insert_or_assign(id, i);
            } else if (!plain.empty()) {
                const auto most =
                    random() % 2 == 0 ? plain.size() : std::min<std::size_t>(3, plain.size());
                const auto id = std::next(plain.begin(), static_cast<long>(random() % most))->first;
                flat.erase(flat.find(id));
                plain.erase(id);
            }
            const auto at = flat.find(some);
            const auto there = plain.find(some);
            REQUIRE((at == flat.end()) == (there == plain.end()));
            REQUIRE((at == flat.end() || at->second == there->second));
            REQUIRE(flat.empty() == plain.empty());
            REQUIRE(std::equal(flat.begin(), flat.end(), plain.begin(), plain.end(),
                               [](const auto& one, const auto& other) {
                                   return one.first == other.first && one.second == other.second;
                               }));
        }
    }
}
