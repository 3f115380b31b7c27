// Which keep_alive takes a model out of memory, and how long any other keeps it.
#include "downstream/keep_alive_value.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE("keep_alive is zero when Ollama reads it so")
{
    for (const char* zero : {"0",
                             "0.0",
                             "-0",
                             "-0.0",
                             "0e5",
                             "0e-5",
                             "1e-10",
                             "0.0000000001",
                             "1e-400",
                             "-1e-400",
                             "0.0e400",
                             "\"0\"",
                             "\"+0\"",
                             "\"-0\"",
                             "\"0s\"",
                             "\"0m\"",
                             "\"0h0m0s\"",
                             "\"0.0s\"",
                             "\".0s\"",
                             "\"0.s\"",
                             "\"-0s\"",
                             "\"0ns\"",
                             "\"0us\"",
                             "\"0\\u00b5s\"",
                             "\"0\xCE\xBCs\"",
                             "\"0ms\"",
                             "\"0.5ns\"",
                             "\"0.0000000009s\"",
                             "\"00s\"",
                             "\"\\u0030\"",
                             "\"0.5ns0.5ns\""}) {
        INFO(zero);
        CHECK(read_keep_alive(zero) == keep_alive::zero);
    }
    for (const char* other : {"1",
                              "-1",
                              "0.5",
                              "-0.5",
                              "1e-9",
                              "1e400",
                              "300",
                              "\"5m\"",
                              "\"-1m\"",
                              "\"1h30m\"",
                              "\"0s1ns\"",
                              "\"0.000000001s\"",
                              "\"300\"",
                              "\"\"",
                              "\"1d\"",
                              "\"0d\"",
                              "\"00\"",
                              "\"0.0\"",
                              "\"s\"",
                              "\".s\"",
                              "\"-\"",
                              "\"+\"",
                              "\" 0\"",
                              "\"0 s\"",
                              "\"0s \"",
                              "\"--0s\"",
                              "true",
                              "false",
                              "{}",
                              "[]",
                              "\"99999999999999999999h\""}) {
        INFO(other);
        CHECK(read_keep_alive(other) == keep_alive::other);
    }
    CHECK(read_keep_alive("null") == keep_alive::absent);
}

TEST_CASE("how long a keep_alive keeps a model is read as Ollama reads it")
{
    using namespace std::chrono_literals;
    CHECK(keep_alive_time("300") == 5min);
    CHECK(keep_alive_time("0.5") == 500ms);
    CHECK(keep_alive_time("\"5m\"") == 5min);
    CHECK(keep_alive_time("\"1h2m3.5s\"") == 1h + 2min + 3500ms);
    CHECK(keep_alive_time("\"0s\"") == 0s);
    for (const char* for_ever : {"-1", "-0.001", "\"-1m\"", "1e300"})
        CHECK(keep_alive_time(for_ever) == duration::max());
    for (const char* refused : {"null", "true", "\"5\"", "\"99999999h\"", "{}"})
        CHECK(keep_alive_time(refused) == 0s);
}
