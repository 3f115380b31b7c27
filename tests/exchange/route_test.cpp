// Who needs a permit, and how many: the table of ways a call can go.
#include "exchange/route.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE(
    "generations and embeddings of a model that an upstream runs need a permit, a load the model, "
    "the rest goes straight")
{
    for (auto what : {kind::generation, kind::embedding, kind::load, kind::unload,
                      kind::information, kind::management}) {
        for (bool cloud : {false, true}) {
            for (bool known_not : {false, true}) {
                auto w = route({what, cloud, known_not});
                auto wanted = what == kind::generation  ? way::generation
                              : what == kind::embedding ? way::embedding
                              : what == kind::load      ? way::errand
                                                        : way::straight;
                CHECK(w == (cloud || known_not ? way::straight : wanted));
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
