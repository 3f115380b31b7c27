// Heads that say the same but for the length of the body.
#include "wire/head_pattern.hpp"

#include "catch.hpp"

#include <string>
#include <string_view>

using namespace gateway;

namespace {

const std::string front = "POST /api/chat HTTP/1.1\r\nHost: a\r\n";

std::string with_length(const std::string& digits, const std::string& rest = "Accept: */*\r\n")
{
    return front + "content-length: " + digits + "\r\n" + rest + "\r\n";
}

head_pattern pattern_of(std::string_view head)
{
    head_pattern p;
    p.keep(head);
    return p;
}

}  // namespace

TEST_CASE("a head is known again by its bytes, whatever its Content-Length says")
{
    const auto p = pattern_of(with_length("57"));
    for (const std::string digits : {"57", "58", "0", "007", "999999999999999999"}) {
        const auto head = with_length(digits);
        const auto come = head + "and a body";
        const auto found = p.at_front(come);
        REQUIRE(found);
        CHECK(found->size == head.size());
        CHECK(found->length == digits);
    }
}

TEST_CASE("a head that is another, or not all there, is not known")
{
    const auto head = with_length("57");
    const auto p = pattern_of(head);
    for (std::size_t n = 0; n < head.size(); ++n) {
        CHECK_FALSE(p.at_front(head.substr(0, n)));
        auto other = head;
        other[n] = other[n] == 'x' ? 'y' : 'x';
        CHECK_FALSE(p.at_front(other));
    }
    CHECK_FALSE(p.at_front(with_length("")));
    CHECK_FALSE(p.at_front(with_length("-5")));
    CHECK_FALSE(p.at_front(with_length("+5")));
    CHECK_FALSE(p.at_front(with_length("5 7")));
    CHECK_FALSE(p.at_front(with_length("5,7")));
    CHECK_FALSE(p.at_front(with_length("0x5")));
    CHECK_FALSE(p.at_front(with_length("9999999999999999999")));  // 19 digits may be too many
    CHECK_FALSE(p.at_front(with_length("57", "Accept: */*\r\nContent-Length: 57\r\n")));
    CHECK_FALSE(p.at_front(with_length("57", "")));
    CHECK_FALSE(p.at_front(front + "\r\n"));
}

TEST_CASE("a head without a length is known by all of its bytes")
{
    for (const std::string fields :
         {"", "X-Content-Length: 7\r\n", "Transfer-Encoding: chunked\r\n"}) {
        const auto head = front + fields + "\r\n";
        const auto p = pattern_of(head);
        const auto come = head + head;
        const auto found = p.at_front(come);
        REQUIRE(found);
        CHECK(found->size == head.size());
        CHECK(found->length.empty());
        CHECK_FALSE(p.at_front(front + "X-Content-Length: 8\r\n\r\n"));
        CHECK_FALSE(p.at_front(with_length("7")));
    }
}

TEST_CASE("what is no plain length, or is long, is no pattern, nor is what was forgotten")
{
    CHECK(pattern_of(with_length("")).empty());
    CHECK(pattern_of(with_length("nine")).empty());
    CHECK(pattern_of(with_length("9999999999999999999")).empty());
    CHECK(pattern_of(with_length("5", "X-Long: " + std::string(4096, 'x') + "\r\n")).empty());
    auto p = pattern_of(with_length("57"));
    CHECK_FALSE(p.empty());
    p.forget();
    CHECK_FALSE(p.at_front(with_length("57")));
    CHECK_FALSE(head_pattern().at_front(""));
    // The one that is kept last counts.
    p.keep(with_length("57"));
    p.keep(with_length("nine"));
    CHECK_FALSE(p.at_front(with_length("57")));
}
