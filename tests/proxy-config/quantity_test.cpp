// Durations and sizes.
#include "proxy-config/quantity.hpp"

#include "catch.hpp"

#include <random>

using namespace gateway;
using namespace std::chrono_literals;

TEST_CASE("durations are whole numbers with units, the larger first")
{
    CHECK(parse_duration("300s") == 300s);
    CHECK(parse_duration("5m") == 5min);
    CHECK(parse_duration("250ms") == 250ms);
    CHECK(parse_duration("1h") == 1h);
    CHECK(parse_duration("2h30m") == 150min);
    CHECK(parse_duration("1m500ms") == 60'500ms);
    CHECK(parse_duration("30d") == 720h);
    CHECK(parse_duration("0s") == 0ms);
    CHECK(parse_duration("36500d") == 24h * 36'500);
    for (const char* bad : {"",
                            "5",
                            "s",
                            "5 m",
                            "5M",
                            "-5s",
                            "+5s",
                            "1.5s",
                            "5sec",
                            "30m2h",
                            "5s5s",
                            "5ms1s",
                            "5s ",
                            " 5s",
                            "1e3s",
                            "36501d",
                            "36500d1ms",
                            "99999999999999999999s",
                            "9223372036854775807d",
                            "5m3"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_duration(bad));
    }
}

TEST_CASE("durations are written in one unit and read back as the same")
{
    CHECK(format_duration(0ms) == "0s");
    CHECK(format_duration(300s) == "5m");
    CHECK(format_duration(130s) == "130s");
    CHECK(format_duration(720h) == "30d");
    CHECK(format_duration(1500ms) == "1500ms");
    std::mt19937_64 random(3);
    for (int round = 0; round < 2000; ++round) {
        const std::chrono::milliseconds d(random() % (1ull << (random() % 41)));
        REQUIRE(parse_duration(format_duration(d)) == d);
    }
}

TEST_CASE("sizes are bytes with binary or decimal units")
{
    CHECK(parse_size("24GiB") == 24ull << 30);
    CHECK(parse_size("64MiB") == 64ull << 20);
    CHECK(parse_size("8KiB") == 8192u);
    CHECK(parse_size("1GB") == 1'000'000'000u);
    CHECK(parse_size("65536") == 65536u);
    CHECK(parse_size("512B") == 512u);
    CHECK(parse_size("0") == 0u);
    CHECK(parse_size("9223372036854775808") == 1ull << 63);
    for (const char* bad : {"", "GiB", "1 GiB", "1gib", "1G", "1.5GiB", "-1", "1GiBs", "8388609TiB",
                            "18446744073709551616", "9223372036854775809"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_size(bad));
    }
}

TEST_CASE("sizes are written in the largest exact unit and read back as the same")
{
    CHECK(format_size(64ull << 20) == "64MiB");
    CHECK(format_size(1'000'000'000) == "1GB");
    CHECK(format_size(0) == "0B");
    CHECK(format_size(1001) == "1001B");
    std::mt19937_64 random(4);
    for (int round = 0; round < 2000; ++round) {
        const std::uint64_t bytes = random() >> (1 + random() % 63);
        REQUIRE(parse_size(format_size(bytes)) == bytes);
    }
}
