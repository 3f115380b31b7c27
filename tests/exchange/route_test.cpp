// Who needs a permit, and how many: the table of ways a call can go.
#include "exchange/route.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE(
    "generations and embeddings of a model that an upstream runs need a permit, the rest goes "
    "straight")
{
    for (auto what : {kind::generation, kind::embedding, kind::load, kind::unload,
                      kind::information, kind::management}) {
        for (bool cloud : {false, true}) {
            for (bool known_not : {false, true}) {
                auto w = route({what, cloud, known_not});
                bool needs =
                    (what == kind::generation || what == kind::embedding) && !cloud && !known_not;
                CHECK((w == way::straight) == !needs);
                if (needs)
                    CHECK(w == (what == kind::embedding ? way::embedding : way::generation));
            }
        }
    }
}

TEST_CASE("an embedding call weighs its inputs, at least one and at most the pool")
{
    CHECK(embedding_weight(0, 2) == 1);
    CHECK(embedding_weight(1, 2) == 1);
    CHECK(embedding_weight(2, 2) == 2);
    CHECK(embedding_weight(1000, 2) == 2);
    CHECK(embedding_weight(5, 0) == 1);
}
