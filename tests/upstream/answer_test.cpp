// What is made of an upstream's answer head: reliability.md §2.2, row by row.
#include "upstream/answer.hpp"

#include "catch.hpp"

#include <random>

using namespace gateway;

namespace {

std::string head(std::string_view lines, std::string_view status = "HTTP/1.1 200 OK")
{
    return std::string(status) + "\r\n" + std::string(lines) + "\r\n";
}

}  // namespace

TEST_CASE("an answer's framing is read off its head")
{
    auto chunked = parse_answer(head("Transfer-Encoding: chunked\r\n"), false);
    REQUIRE(chunked.has_value());
    CHECK_FALSE(chunked->head.length);
    CHECK_FALSE(chunked->body.done());
    CHECK_FALSE(chunked->body.ends_with_connection());
    CHECK(chunked->keep_alive);

    auto sized = parse_answer(head("Content-Length: 5\r\n"), false);
    REQUIRE(sized.has_value());
    CHECK(sized->head.length == 5u);
    CHECK(sized->body.remaining() == 5);

    auto empty = parse_answer(head("Content-Length: 0\r\n"), false);
    REQUIRE(empty.has_value());
    CHECK(empty->body.done());

    auto until_close = parse_answer(head(""), false);
    REQUIRE(until_close.has_value());
    CHECK(until_close->body.ends_with_connection());
    CHECK_FALSE(until_close->keep_alive);
}

TEST_CASE("an answer to HEAD, a 204 and a 304 have no body whatever their head says")
{
    auto to_head = parse_answer(head("Content-Length: 17\r\n"), true);
    REQUIRE(to_head.has_value());
    CHECK(to_head->head.no_body);
    CHECK(to_head->body.done());
    CHECK(to_head->head.length == 17u);
    for (auto status : {"HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified"}) {
        auto a = parse_answer(head("", status), false);
        REQUIRE(a.has_value());
        CHECK(a->body.done());
    }
    auto none = parse_answer(head("Content-Length: 2\r\n", "HTTP/1.1 204 No Content"), false);
    REQUIRE(none.has_value());
    CHECK(none->body.done());
    CHECK_FALSE(none->head.length.has_value());  // it may tell none, and a client would wait for it
}

TEST_CASE("an interim answer is told apart, and switching protocols unasked is refused")
{
    auto interim = parse_answer(head("", "HTTP/1.1 103 Early Hints"), false);
    REQUIRE(interim.has_value());
    CHECK(interim->interim);
    CHECK_FALSE(parse_answer(head("", "HTTP/1.1 101 Switching Protocols"), false).has_value());
}

TEST_CASE("a broken answer head is the upstream's fault and never guessed at")
{
    const char* broken[] = {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: foo, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 999 High\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "\x16\x03\x01\x02\r\n\r\n",
        "\r\n\r\n",
    };
    for (auto text : broken) {
        INFO(text);
        auto a = parse_answer(text, false);
        REQUIRE_FALSE(a.has_value());
        CHECK(a.error().code == fault_code::upstream_failed);
        CHECK(a.error().by == whose::upstream);
    }
}

TEST_CASE("what concerns only the upstream's connection, or is ours to say, is not passed on")
{
    auto a = parse_answer(head("Content-Type: application/json\r\nConnection: close, X-Private\r\n"
                               "X-Private: 1\r\nKeep-Alive: timeout=5\r\nX-Request-Id: theirs\r\n"
                               "X-Gateway-Model: theirs\r\nAccess-Control-Allow-Origin: *\r\n"
                               "Server-Timing: a\r\nContent-Length: 2\r\nX-Kept: yes\r\n"),
                          false);
    REQUIRE(a.has_value());
    CHECK(a->head.fields == "Content-Type: application/json\r\nX-Kept: yes\r\n");
    CHECK(a->head.content_type == "application/json");
    CHECK_FALSE(a->keep_alive);
}

TEST_CASE("an HTTP/1.0 answer keeps its connection only when it says so")
{
    auto plain = parse_answer(head("Content-Length: 2\r\n", "HTTP/1.0 200 OK"), false);
    REQUIRE(plain.has_value());
    CHECK_FALSE(plain->keep_alive);
    auto kept = parse_answer(
        head("Content-Length: 2\r\nConnection: keep-alive\r\n", "HTTP/1.0 200 OK"), false);
    REQUIRE(kept.has_value());
    CHECK(kept->keep_alive);
}

TEST_CASE("lines of one name are passed on together, and a folded one as one line")
{
    auto a = parse_answer(head("Set-Cookie: a=1\r\nX-Other: x\r\nset-cookie: b=2\r\nX-Same: 1\r\n"
                               "X-Folded: one\r\n  two \r\n\tthree\r\nx-same:2\r\nX-Empty:\r\n"),
                          false);
    REQUIRE(a.has_value());
    CHECK(a->head.fields ==
          "Set-Cookie: a=1\r\nset-cookie: b=2\r\nX-Other: x\r\nX-Same: 1\r\nx-same: 2\r\n"
          "X-Folded: one two three\r\nX-Empty: \r\n");
}

TEST_CASE("a status line without a reason is given the usual one")
{
    CHECK(parse_answer(head("", "HTTP/1.1 404 "), false)->head.reason == "Not Found");
    CHECK(parse_answer(head("", "HTTP/1.1 404 Gone Away"), false)->head.reason == "Gone Away");
}

TEST_CASE("answers read one after another are each what they are read alone")
{
    const std::vector<std::string> heads{
        head("Content-Type: application/json\r\nContent-Length: 312\r\n"),
        head("Content-Type: application/json\r\nContent-Length: 0\r\nX-Other: 1\r\n"),
        head("Transfer-Encoding: chunked\r\nContent-Type: application/x-ndjson\r\n"),
        head("Content-Length: 5\r\n", "HTTP/1.0 200 OK"),
        head("Content-Type: text/plain\r\n"),
        head("", "HTTP/1.1 204 No Content"),
        head("Content-Length: 7\r\n", "HTTP/1.1 503 Service Unavailable"),
        head("Content-Length: 5\r\nContent-Length: 6\r\n"),
        head("Content-Length:\r\n 5\r\n"),
        head("Content-Length: 5\r\n 6\r\n"),
        head("", "HTTP/1.1 103 Early Hints"),
    };
    std::mt19937 random(3);
    const auto below = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    answer_parser parser;
    std::string text = heads[0];
    for (int i = 0; i < 20'000; ++i) {
        if (below(3) == 0)
            text = heads[below(heads.size())];
        if (auto at = text.find("Content-Length: "); at != text.npos && below(2) == 0) {
            auto end = text.find_first_not_of("0123456789", at + 16);
            text.replace(at + 16, end - at - 16, std::to_string(random() >> below(32)));
        }
        bool to_head = below(8) == 0;
        CAPTURE(text, to_head);
        auto alone = parse_answer(text, to_head);
        auto in_turn = parser.parse(text, to_head);
        REQUIRE(in_turn.has_value() == alone.has_value());
        if (!alone) {
            REQUIRE(in_turn.error().message == alone.error().message);
            continue;
        }
        REQUIRE(in_turn->head.status == alone->head.status);
        REQUIRE(in_turn->head.reason == alone->head.reason);
        REQUIRE(in_turn->head.fields == alone->head.fields);
        REQUIRE(in_turn->head.content_type == alone->head.content_type);
        REQUIRE(in_turn->head.length == alone->head.length);
        REQUIRE(in_turn->head.no_body == alone->head.no_body);
        REQUIRE(in_turn->keep_alive == alone->keep_alive);
        REQUIRE(in_turn->interim == alone->interim);
        REQUIRE(in_turn->body.done() == alone->body.done());
        REQUIRE(in_turn->body.remaining() == alone->body.remaining());
        REQUIRE(in_turn->body.ends_with_connection() == alone->body.ends_with_connection());
    }
}
