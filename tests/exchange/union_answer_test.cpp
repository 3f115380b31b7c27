// Listings of several upstreams, laid together.
#include "exchange/union_answer.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE("which requests ask for a listing")
{
    CHECK(listing_asked("GET", "/api/tags") == listing_of::tags);
    CHECK(listing_asked("HEAD", "/api/tags?x=1") == listing_of::tags);
    CHECK(listing_asked("GET", "/api/ps") == listing_of::ps);
    CHECK(listing_asked("GET", "/v1/models") == listing_of::models);
    CHECK(listing_asked("POST", "/api/tags") == listing_of::none);
    CHECK(listing_asked("GET", "/v1/models/m") == listing_of::none);
    CHECK(model_asked("GET", "/v1/models/m:7b?x") == "m:7b");
    CHECK(model_asked("DELETE", "/v1/models/m").empty());
}

TEST_CASE("models are told once, in the order of the upstreams; what is loaded is told for each")
{
    std::vector<std::string> bodies{R"({"models":[{"name":"a:latest","size":1},{"name":"b:7b"}]})",
                                    R"({"models":[{"name":"A","size":2},{"name":"c"}]})"};
    CHECK(laid_together(listing_of::tags, bodies) ==
          R"({"models":[{"name":"a:latest","size":1},{"name":"b:7b"},{"name":"c"}]})");
    CHECK(
        laid_together(listing_of::ps, bodies) ==
        R"({"models":[{"name":"a:latest","size":1},{"name":"b:7b"},{"name":"A","size":2},{"name":"c"}]})");
    CHECK(laid_together(listing_of::models,
                        {R"({"object":"list","data":[{"id":"a"}]})",
                         R"({"object":"list","data":[{"id":"a:latest"},{"id":"d"}]})"}) ==
          R"({"object":"list","data":[{"id":"a"},{"id":"d"}]})");
}

TEST_CASE("what is no listing adds nothing, and harms nothing")
{
    CHECK(laid_together(listing_of::tags, {}) == R"({"models":[]})");
    CHECK(laid_together(listing_of::tags, {"", "no", "[]", "{}", R"({"models":3})",
                                           R"({"models":[1,null]})"}) == R"({"models":[]})");
    std::string deep = R"({"models":[)" + std::string(5000, '[') + std::string(5000, ']') + "]}";
    CHECK_NOTHROW(laid_together(listing_of::tags, {deep}));
}
