// When a status says something new.
#include "admin/status_feed.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE("time that goes by is no news")
{
    CHECK(what_stands(
              R"({"uptime_s":12,"calls":[{"id":"a","age_s":4.2,"waited_ms":0,"chunks":8}]})") ==
          what_stands(
              R"({"uptime_s":13,"calls":[{"id":"a","age_s":5.2,"waited_ms":9,"chunks":99}]})"));
}

TEST_CASE("whatever else changes is news")
{
    const char* before =
        R"({"uptime_s":12,"calls":[{"id":"a","phase":"waiting","age_s":4.2,"position":2}]})";
    for (const char* after :
         {R"({"uptime_s":12,"calls":[{"id":"b","phase":"waiting","age_s":4.2,"position":2}]})",
          R"({"uptime_s":12,"calls":[{"id":"a","phase":"starting","age_s":4.2,"position":2}]})",
          R"({"uptime_s":12,"calls":[{"id":"a","phase":"waiting","age_s":4.2,"position":1}]})",
          R"({"uptime_s":12,"calls":[]})"}) {
        INFO(after);
        CHECK(what_stands(before) != what_stands(after));
    }
}

TEST_CASE("a client that is called like a key hides nothing behind it")
{
    // As JSON text has it: the quotes are escaped.
    CHECK(what_stands(R"({"client":"\"age_s\":","phase":"waiting"})") !=
          what_stands(R"({"client":"\"age_s\":","phase":"streaming"})"));
}

TEST_CASE("text that is cut off is read to its end")
{
    CHECK(what_stands(R"({"age_s":4)") == what_stands(R"({"age_s":5)"));
    CHECK(what_stands("") == what_stands(""));
    CHECK(what_stands("\"") != what_stands(""));
}
