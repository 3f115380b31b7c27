// /api/ps and /api/tags, read: what is not what Ollama answers is nothing, never an empty list.
#include "models/listing.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE("a listing of loaded models is read with sizes and canonical names")
{
    auto loaded = parse_ps(R"({"models":[{"name":"LLaMA3","model":"llama3:latest","size":6000,
        "size_vram":5000,"expires_at":"2026-01-01T00:00:00Z","digest":"x","context_length":4096},
        {"name":"old"}]})");
    REQUIRE(loaded);
    REQUIRE(loaded->size() == 2);
    CHECK(loaded->front().name == "LLaMA3");
    CHECK(loaded->front().canonical == "llama3:latest");
    CHECK(loaded->front().size == 6000);
    CHECK(loaded->front().size_vram == 5000);
    CHECK(loaded->front().expires_at == "2026-01-01T00:00:00Z");
    CHECK(loaded->front().context_length == 4096);
    CHECK(loaded->back().context_length == 0);
}

TEST_CASE("an empty list and null are empty lists")
{
    for (auto text : {R"({"models":[]})", R"({"models":null})"}) {
        REQUIRE(parse_ps(text));
        CHECK(parse_ps(text)->empty());
        REQUIRE(parse_tags(text));
        CHECK(parse_tags(text)->empty());
    }
}

TEST_CASE("what is no listing is unknown, not empty")
{
    const std::string deep =
        R"({"models":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
    const std::string bad[] = {"",
                               "null",
                               "[]",
                               "{}",
                               "{\"models\"",
                               R"({"models":{}})",
                               R"({"models":[1]})",
                               R"({"models":[{"size":1}]})",
                               R"({"error":"busy"})",
                               "\xff\xfe",
                               deep};
    for (const auto& text : bad) {
        INFO(text.substr(0, 60));
        CHECK_FALSE(parse_ps(text));
        CHECK_FALSE(parse_tags(text));
    }
}

TEST_CASE("sizes that no model has are no sizes")
{
    auto loaded = parse_ps(
        R"({"models":[{"name":"a","size":-5,"size_vram":1e300},{"name":"b","size":"7"}]})");
    REQUIRE(loaded);
    CHECK((*loaded)[0].size == 0);
    CHECK((*loaded)[0].size_vram == 0);
    CHECK((*loaded)[1].size == 0);
}
