// Times of day, read and written as JSON tells them.
#include "base/wall_time.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE("times are read as RFC 3339 writes them, with any offset and fraction")
{
    CHECK(parse_rfc3339("1970-01-01T00:00:00Z") == 0.0);
    CHECK(parse_rfc3339("2026-11-26T09:33:00Z") == 1795685580.0);
    CHECK(parse_rfc3339("2026-11-26T10:33:00+01:00") == 1795685580.0);
    CHECK(parse_rfc3339("2026-11-26T04:03:00-05:30") == 1795685580.0);
    CHECK(parse_rfc3339("1970-01-01T00:00:00.5Z") == 0.5);
    CHECK(parse_rfc3339("2024-02-29T00:00:00.123456789+02:00").has_value());
    CHECK(*parse_rfc3339("2318-08-06T09:33:00Z") > 10e9);  // Ollama's "never"
}

TEST_CASE("what is no time is none")
{
    for (auto text : {"", "2026-11-26", "2026-11-26T09:33:00", "2026-13-26T09:33:00Z",
                      "2026-11-26T24:33:00Z", "2026-11-26T09:33:00X", "2026-11-26T09:33:00+01",
                      "2026-11-26 09:33:00Z", "2026-11-26T09:33:00Zx", "0001-01-01T00:00:0"})
        CHECK_FALSE(parse_rfc3339(text).has_value());
}

TEST_CASE("times are written with and without their fraction")
{
    wall_clock::time_point t{std::chrono::microseconds(1795685580123456)};
    CHECK(rfc3339(t) == "2026-11-26T09:33:00Z");
    CHECK(rfc3339_micros(t) == "2026-11-26T09:33:00.123456Z");
}
