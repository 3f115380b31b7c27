// Records read without a tree, held against what is plain of them.
#include "stream/record.hpp"

#include "base/text.hpp"
#include "catch.hpp"

#include <random>
#include <string>

using namespace gateway;

TEST_CASE("a string ends at the first quote that is not escaped, wherever that stands")
{
    std::mt19937 random(1);
    for (int i = 0; i < 200'000; ++i) {
        std::string text;
        bool escaped = false;
        for (auto size = random() % 70; text.size() < size || escaped;) {
            const char c = "ab\\\"\\{]"[random() % 7];
            if (c != '"' || escaped) {
                escaped = c == '\\' && !escaped;
                text += c;
            }
        }
        const std::string after = random() % 2 == 0 ? "}" : ",\"eval_count\":7}";
        const auto json = "{\"type\":\"" + text + '"' + after;
        INFO(json);
        const auto r = read_record(json);
        REQUIRE(r.whole);
        REQUIRE(r.type == text);
        REQUIRE(r.completion_tokens.value_or(0) == (after.size() == 1 ? 0 : 7));
        // The same in a key and deeper, and cut where it is still open.
        REQUIRE(read_record("{\"" + text + "\":[\"" + text + "\"]" + after).whole);
        REQUIRE(!read_record({json.data(), json.size() - after.size() - 1}).whole);
    }
}

TEST_CASE("a count is read as parse_uint() reads it")
{
    std::mt19937 random(1);
    for (int i = 0; i < 200'000; ++i) {
        std::string digits(1 + random() % 22, '0');
        const auto nought = random() % 22;
        for (auto at = nought; at < digits.size(); ++at) {
            digits[at] = random() % 50 != 0 ? char('0' + random() % 10) : "-+.ex/:"[random() % 7];
        }
        INFO(digits);
        REQUIRE(read_record("{\"eval_count\":" + digits + "}").completion_tokens ==
                parse_uint(digits, std::uint64_t{1} << 40));
    }
    for (const char* digits : {"1099511627776", "1099511627777", "000001099511627776",
                               "0000001099511627776", "00000000000000000000012"}) {
        INFO(digits);
        CHECK(read_record("{\"eval_count\":" + std::string(digits) + "}").completion_tokens ==
              parse_uint(digits, std::uint64_t{1} << 40));
    }
}
