// Bytes as text and back: RFC 4648's own examples, and what is none.
#include "base/encoding.hpp"

#include "catch.hpp"

#include <random>

using namespace gateway;

namespace {

byte_row bytes(std::string_view text)
{
    return {text.begin(), text.end()};
}

}  // namespace

TEST_CASE("hexadecimal digits are read in both cases and written in small ones")
{
    CHECK(to_hex(byte_row{0x00, 0x7f, 0xff, 0xa5}) == "007fffa5");
    CHECK(from_hex("007fFFa5") == byte_row{0x00, 0x7f, 0xff, 0xa5});
    CHECK(from_hex("") == byte_row{});
    for (const char* none : {"0", "0g", "g0", "0x", " 00", "00 ", "+1", "-1"}) {
        CAPTURE(none);
        CHECK_FALSE(from_hex(none).has_value());
    }
}

TEST_CASE("base64 is read as RFC 4648 has it, and only in its one spelling")
{
    CHECK(from_base64("") == bytes(""));
    CHECK(from_base64("Zg==") == bytes("f"));
    CHECK(from_base64("Zm8=") == bytes("fo"));
    CHECK(from_base64("Zm9v") == bytes("foo"));
    CHECK(from_base64("Zm9vYmFy") == bytes("foobar"));
    CHECK(from_base64("+/+/") == byte_row{0xfb, 0xff, 0xbf});
    for (const char* none : {"Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v ",
                             " Zm9v", "Zm9v\n", "Zm-_", "Zm=v", "=Zm9", "Zm9vZg=a"}) {
        CAPTURE(none);
        CHECK_FALSE(from_base64(none).has_value());
    }
}

TEST_CASE("base32 is written in small letters without padding")
{
    CHECK(to_base32(bytes("")).empty());
    CHECK(to_base32(bytes("f")) == "my");
    CHECK(to_base32(bytes("fooba")) == "mzxw6ytb");
    CHECK(to_base32(bytes("foobar")) == "mzxw6ytboi");
    CHECK(to_base32(byte_row(5, 0xff)) == "77777777");
    CHECK(to_base32(byte_row(32)).size() == 52);
}

TEST_CASE("any text is bytes or is none, and what is bytes in hexadecimal comes back")
{
    std::mt19937 random(3);
    const std::string letters = "AZaz09+/=-_ \n\xff";
    for (int round = 0; round < 20000; ++round) {
        std::string text;
        byte_row row;
        for (auto n = random() % 20; n > 0; --n) {
            text += letters[random() % letters.size()];
            row.push_back(static_cast<std::uint8_t>(random()));
        }
        if (const auto read = from_base64(text)) {
            REQUIRE(read->size() <= text.size() / 4 * 3);
        }
        REQUIRE(from_hex(to_hex(row)) == row);
    }
}
