// Memory that is promised is never more than there is, and comes back.
#include "base/memory_budget.hpp"

#include "catch.hpp"

#include <memory>
#include <random>
#include <vector>

using namespace gateway;

TEST_CASE("a share over the budget is refused and changes nothing")
{
    memory_budget budget(100);
    memory_budget::share a(budget), b(budget);
    CHECK(a.hold(60));
    CHECK_FALSE(b.hold(41));
    CHECK(budget.used() == 60);
    CHECK(b.hold(40));
    CHECK_FALSE(a.hold(61));
    CHECK(a.held() == 60);
    CHECK(a.hold(10));
    CHECK(budget.used() == 50);
}

TEST_CASE("whatever shares do, the budget is their sum and is empty when they are gone")
{
    std::mt19937 random(7);
    memory_budget budget(10'000);
    {
        std::vector<std::unique_ptr<memory_budget::share>> shares;
        for (int i = 0; i < 5'000; ++i) {
            if (shares.empty() || random() % 4 == 0)
                shares.push_back(std::make_unique<memory_budget::share>(budget));
            auto& s = *shares[random() % shares.size()];
            auto before = budget.used();
            auto held = s.held();
            auto wants = random() % 4'000;
            if (s.hold(wants))
                REQUIRE(budget.used() == before - held + wants);
            else
                REQUIRE(budget.used() == before);
            if (random() % 5 == 0)
                shares.erase(shares.begin() + std::ptrdiff_t(random() % shares.size()));
            std::uint64_t sum = 0;
            for (const auto& one : shares)
                sum += one->held();
            REQUIRE(sum == budget.used());
            REQUIRE(budget.used() <= budget.most());
        }
        memory_budget::share moved(std::move(*shares.front()));
    }
    CHECK(budget.used() == 0);
}
