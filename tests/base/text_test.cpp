// The words of base/text.hpp.
#include "base/text.hpp"

#include "catch.hpp"

#include <random>

using namespace gateway;

TEST_CASE("trim takes white space off both ends only")
{
    CHECK(trim(" \t a b\r\n") == "a b");
    CHECK(trim("   ").empty());
    CHECK(trim("").empty());
}

TEST_CASE("case of ASCII letters does not matter to iequals, other bytes do")
{
    CHECK(iequals("Content-Length", "content-lENGTH"));
    CHECK_FALSE(iequals("a", "ab"));
    CHECK_FALSE(iequals("[", "{"));                // differ by the case bit, and are no letters
    CHECK_FALSE(iequals("\xC3\x84", "\xC3\xA4"));  // Ä and ä
    CHECK(istarts_with("BEARER x", "bearer "));
    CHECK_FALSE(istarts_with("Bea", "bearer"));
    CHECK(to_lower("AbZ[\xC3\x84") == "abz[\xC3\x84");
}

TEST_CASE("iequals is to_lower of each byte, whatever it is, wherever it stands")
{
    for (const std::size_t size : {1, 7, 8, 9, 15, 16, 17}) {
        for (std::size_t at = 0; at < size; ++at) {
            for (int pair = 0; pair < 256 * 256; ++pair) {
                std::string a(size, 'k');
                std::string b(size, 'K');
                a[at] = static_cast<char>(pair >> 8);
                b[at] = static_cast<char>(pair);
                if (iequals(a, b) != (to_lower(a[at]) == to_lower(b[at]))) {
                    FAIL(size << " " << at << " " << pair);
                }
            }
        }
    }
}

TEST_CASE("split keeps empty parts and trims each")
{
    using parts = std::vector<std::string_view>;
    CHECK(split("a, b ,,c", ',') == parts{"a", "b", "", "c"});
    CHECK(split("", ',') == parts{""});
    CHECK(split(",", ',') == parts{"", ""});
}

TEST_CASE("parse_uint takes digits up to its maximum and nothing else")
{
    CHECK(parse_uint("0") == 0u);
    CHECK(parse_uint("007") == 7u);
    CHECK(parse_uint("18446744073709551615") == UINT64_MAX);
    CHECK(parse_uint("65535", 65535) == 65535u);
    CHECK(parse_uint("7", 7) == 7u);
    for (const char* bad : {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616",
                            "99999999999999999999999", "1.0"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_uint(bad));
    }
    CHECK_FALSE(parse_uint("65536", 65535));
    CHECK_FALSE(parse_uint("8", 7));
}

TEST_CASE("percent_decode refuses half an escape")
{
    CHECK(percent_decode("/api%2Fchat%2f") == "/api/chat/");
    CHECK(percent_decode("a+b") == "a+b");
    CHECK(percent_decode("%00") == std::string(1, '\0'));
    for (const char* bad : {"%", "%2", "a%2", "%2g", "%g2", "%%41"}) {
        CAPTURE(bad);
        CHECK_FALSE(percent_decode(bad));
    }
}

TEST_CASE("UTF-8 is what Unicode table 3-7 says")
{
    for (const char* good : {"", "a", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                             "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
        CHECK(is_valid_utf8(good));
    }
    for (const char* bad :
         {"\x80", "\xC0\x80", "\xC1\xBF", "\xC3", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE2\x82",
          "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xE2\x28\xA1"}) {
        CHECK_FALSE(is_valid_utf8(bad));
    }
}

TEST_CASE("json_quote escapes what JSON needs and replaces what is no UTF-8")
{
    CHECK(json_quote("a\"b\\c\n\t\r") == R"("a\"b\\c\n\t\r")");
    CHECK(json_quote(std::string_view("\0\x1f\x7f", 3)) == "\"\\u0000\\u001f\\u007f\"");
    CHECK(json_quote("\xC3\xA4") == "\"\xC3\xA4\"");
    CHECK(json_quote("a\xFFz") == "\"a\xEF\xBF\xBDz\"");
    CHECK(json_quote("\xE2\x82") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    std::string text = "x";
    append_json_quoted(text, "y");
    CHECK(text == "x\"y\"");
}

TEST_CASE("whatever goes into json_quote, valid UTF-8 without control characters comes out")
{
    std::mt19937 random(7);
    for (int round = 0; round < 5000; ++round) {
        std::string bytes(random() % 24, ' ');
        for (char& c : bytes) {
            c = static_cast<char>(random());
        }
        const std::string quoted = json_quote(bytes);
        REQUIRE(is_valid_utf8(quoted));
        REQUIRE(quoted.find_first_of(std::string("\0\n\r\t", 4)) == std::string::npos);
        REQUIRE(is_valid_utf8(to_valid_utf8(bytes)));
        if (is_valid_utf8(bytes)) {
            REQUIRE(to_valid_utf8(bytes) == bytes);
        }
    }
}

TEST_CASE("edit_distance counts insertions, deletions, substitutions and swaps")
{
    CHECK(edit_distance("", "") == 0);
    CHECK(edit_distance("abc", "") == 3);
    CHECK(edit_distance("max_wiat", "max_wait") == 1);
    CHECK(edit_distance("idle", "idel") == 1);
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance(std::string(1000, 'a'), std::string(1000, 'b')) == 128);
}

TEST_CASE("nearest names the word that was meant, or none")
{
    const std::vector<std::string> words{"max_waiting", "max_wait", "heartbeat", "grace"};
    CHECK(nearest("max_wating", words) == "max_waiting");
    CHECK(nearest("Heartbeet", words) == "heartbeat");
    CHECK(nearest("colour", words).empty());
    CHECK(nearest("", words).empty());
    const std::vector<std::string_view> views{"idle", "total"};
    CHECK(nearest("idel", views) == "idle");
}
