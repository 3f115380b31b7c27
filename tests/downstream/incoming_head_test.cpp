// The heads of one connection: known again or parsed, what is told of them is the same.
#include "downstream/incoming_head.hpp"

#include "catch.hpp"
#include "downstream/head_corpus.hpp"

#include <random>
#include <string>
#include <string_view>

using namespace gateway;

namespace {

std::string post_of(std::size_t length, const std::string& fields = "")
{
    return "POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(length) +
           "\r\n" + fields + "\r\n";
}

// It says of `bytes` what the parser says, at the first look.
void check_look(incoming_head& in, std::string_view bytes, const head_limits& l = {})
{
    CAPTURE(bytes.substr(0, 200));
    const auto end = head_end(bytes, 0);
    const auto size = in.look(bytes, l);
    if (end == 0 || end > l.bytes) {
        CHECK((end == 0 && bytes.size() <= l.bytes) == size.has_value());
        CHECK_FALSE(in.whole());
        return;
    }
    const auto parsed = parse_head(bytes.substr(0, end), l);
    REQUIRE(size.has_value() == parsed.has_value());
    CHECK(in.whole() == parsed.has_value());
    if (!parsed) {
        CHECK(size.error().code == parsed.error().code);
        CHECK(size.error().message == parsed.error().message);
        return;
    }
    CHECK(*size == end);
    CHECK(in.get() == *parsed);
}

}  // namespace

TEST_CASE("a head that is the last one again, but for the length of its body, is told as if parsed")
{
    incoming_head in;
    check_look(in, post_of(5) + "12345");
    CHECK_FALSE(in.again());
    check_look(in, post_of(123456) + "rest");
    CHECK(in.again());
    CHECK(in.get().get(field_name::content_length) == "123456");
    check_look(in, post_of(5, "X-Other: 1\r\n"));
    CHECK_FALSE(in.again());
    check_look(in, post_of(6, "X-Other: 1\r\n"));
    CHECK(in.again());
}

TEST_CASE("a head that comes in pieces is known again when all of it is there")
{
    incoming_head in;
    check_look(in, post_of(5));
    const auto next = post_of(77);
    for (std::size_t n = 0; n < next.size(); ++n) {
        check_look(in, next.substr(0, n));
    }
    check_look(in, next + "body");
    CHECK(in.again());
}

TEST_CASE("a head whose body is none is not the one before it that had some, nor the other way")
{
    const std::string expects = "Expect: 100-continue\r\n";
    incoming_head in;
    check_look(in, post_of(5, expects));
    CHECK(in.get().expects_continue);
    check_look(in, post_of(0, expects));
    CHECK_FALSE(in.again());
    CHECK_FALSE(in.get().expects_continue);
    check_look(in, post_of(7, expects));
    CHECK_FALSE(in.again());
    CHECK(in.get().expects_continue);
    const std::string get = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ";
    check_look(in, get + "0\r\n\r\n");
    check_look(in, get + "5\r\n\r\n");  // a GET with a body
    CHECK_FALSE(in.whole());
}

TEST_CASE("a head that is known is still held against the limits of now")
{
    incoming_head in;
    const auto head = post_of(5, "X-A: 1\r\nX-B: 2\r\n");
    check_look(in, head);
    check_look(in, head, {head.size() - 1, 100});
    check_look(in, head);
    check_look(in, head, {1024, 3});
    check_look(in, head);
    check_look(in, head, {head.size(), 4});
    CHECK(in.again());
}

TEST_CASE("whatever heads follow one another on a connection, each is told as if it stood alone")
{
    const auto rows = head_corpus();
    std::mt19937 random(7);
    const auto below = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    std::size_t known = 0;
    for (int connection = 0; connection < 2000; ++connection) {
        incoming_head in;
        std::string last = post_of(5);
        for (int request = 0; request < 20; ++request) {
            auto bytes = below(3) == 0 ? rows[below(rows.size())].bytes : last;
            if (below(2) == 0) {  // another length, which may be none
                if (const auto at = bytes.find("ontent-Length: "); at != bytes.npos) {
                    bytes.insert(at + 15, std::string(1, "0123456789 -x"[below(13)]));
                }
            }
            if (below(4) == 0 && !bytes.empty()) {
                bytes[below(bytes.size())] = char(below(256));
            }
            last = bytes;
            check_look(in, bytes);
            known += in.whole() && in.again() ? 1 : 0;
            if (head_end(bytes, 0) == 0) {
                break;  // what comes next belongs to it
            }
        }
    }
    CHECK(known > 1000);
}
