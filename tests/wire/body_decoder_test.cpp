// The framing of bodies: by tables, at every cut, and by random round trips.
#include "wire/body_decoder.hpp"

#include "catch.hpp"

#include <random>
#include <string>
#include <string_view>
#include <vector>

using gateway::body_decoder;

namespace {

struct result {
    std::string payload;
    std::size_t consumed = 0;
    bool done = false;
    bool bad = false;
    bool operator==(const result& other) const
    {
        // How far a bad message was read depends on the cuts; what was decoded of it does not.
        return payload == other.payload && done == other.done && bad == other.bad &&
               (bad || consumed == other.consumed);
    }
};

// Feeds `wire` in pieces that end at `cuts` (ascending).
result decode(body_decoder decoder, std::string_view wire, const std::vector<std::size_t>& cuts)
{
    result r;
    r.done = decoder.done();
    std::size_t from = 0;
    auto piece_to = [&](std::size_t to) {
        std::vector<char> piece(wire.begin() + static_cast<std::ptrdiff_t>(from),
                                wire.begin() + static_cast<std::ptrdiff_t>(to));
        auto step = decoder.decode(piece);
        r.payload.append(piece.data(), step.payload);
        r.consumed += step.consumed;
        r.done = step.done;
        r.bad = step.bad;
        if (!step.done && !step.bad) {
            REQUIRE(step.consumed == piece.size());
        }
        from = to;
    };
    for (std::size_t cut : cuts) {
        if (r.done || r.bad) {
            return r;
        }
        piece_to(cut);
    }
    if (!r.done && !r.bad) {
        piece_to(wire.size());
    }
    return r;
}

result decode_whole(std::string_view wire)
{
    return decode(body_decoder::chunked(), wire, {});
}

result decode_bytewise(std::string_view wire)
{
    std::vector<std::size_t> cuts;
    for (std::size_t i = 1; i < wire.size(); ++i) {
        cuts.push_back(i);
    }
    return decode(body_decoder::chunked(), wire, cuts);
}

void same_however_cut(std::string_view wire)
{
    auto whole = decode_whole(wire);
    CHECK(decode_bytewise(wire) == whole);
    for (std::size_t i = 0; i <= wire.size(); ++i) {
        INFO("cut at " << i);
        CHECK(decode(body_decoder::chunked(), wire, {i}) == whole);
    }
}

std::string repeated(std::string_view text, std::size_t times)
{
    std::string out;
    for (std::size_t i = 0; i < times; ++i) {
        out += text;
    }
    return out;
}

using namespace std::string_literals;

}  // namespace

TEST_CASE("well-formed chunked bodies give their payload and leave what follows")
{
    struct row {
        std::string wire;
        std::string payload;
        std::size_t rest;
    };
    const std::vector<row> rows = {
        {"0\r\n\r\n", "", 0},
        {"5\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", 0},
        {"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "hello", 16},
        {"0005\r\nhello\r\n000\r\n\r\n", "hello", 0},
        {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0},
        {"a\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0},
        {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0},
        {"5;a\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"5;a=b;c=\"d;\\\" e\"\r\nhello\r\n0;last\r\n\r\n", "hello", 0},
        {"5;" + std::string(255, 'x') + "\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"5\r\nhello\r\n0\r\nDigest: x\tz\r\nEmpty:\r\n\r\nrest", "hello", 4},
        {"0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", 0},
        {"0\r\nT:" + std::string(8 * 1024 - 3, 'v') + "\r\n\r\n", "", 0},
    };
    for (const auto& row : rows) {
        INFO(row.wire);
        auto r = decode_whole(row.wire);
        CHECK_FALSE(r.bad);
        CHECK(r.done);
        CHECK(r.payload == row.payload);
        CHECK(r.consumed == row.wire.size() - row.rest);
        if (row.wire.size() < 1000) {
            same_however_cut(row.wire);
        } else {
            CHECK(decode_bytewise(row.wire) == r);
        }
    }
}

TEST_CASE("ambiguous or broken chunked framing is bad, and what came before it is kept")
{
    struct row {
        std::string wire;
        std::string payload;
    };
    const std::vector<row> rows = {
        {"0x5\r\nhello\r\n0\r\n\r\n", ""},
        {"+5\r\nhello\r\n0\r\n\r\n", ""},
        {"-5\r\nhello\r\n0\r\n\r\n", ""},
        {"5 \r\nhello\r\n0\r\n\r\n", ""},
        {" 5\r\nhello\r\n0\r\n\r\n", ""},
        {"\t5\r\nhello\r\n0\r\n\r\n", ""},
        {"5\t\r\nhello\r\n0\r\n\r\n", ""},
        {"5 ;a\r\nhello\r\n0\r\n\r\n", ""},
        {"5xyz\r\nhello\r\n0\r\n\r\n", ""},
        {"5_0\r\nhello\r\n0\r\n\r\n", ""},
        {"5,5\r\nhello\r\n0\r\n\r\n", ""},
        {"\r\n", ""},
        {";a\r\nhello\r\n0\r\n\r\n", ""},
        {"G\r\n", ""},
        {"5\0\r\nhello"s, ""},
        {"\xef\xbc\x95\r\nhello", ""},  // a full-width 5
        {"5\nhello\r\n0\r\n\r\n", ""},
        {"5\rhello\r\n0\r\n\r\n", ""},
        {"5\r\r\nhello\r\n0\r\n\r\n", ""},
        {"5\r\nhello\n0\r\n\r\n", "hello"},
        {"5\r\nhello0\r\n\r\n", "hello"},
        {"5\r\nhello!\r\n0\r\n\r\n", "hello"},
        {"5\r\nhello\rX0\r\n\r\n", "hello"},
        {"5\r\nhello\r\n\r\n0\r\n\r\n", "hello"},
        {"5\r\nhello\r\n0\n\n", "hello"},
        {"5\r\nhello\r\n0\r\n\n", "hello"},
        {"5\r\nhello\r\n0\r\n\rX", "hello"},
        {"1000000000000001\r\n", ""},  // 2^60 + 1
        {"ffffffffffffffff\r\n", ""},
        {"10000000000000005\r\nhello", ""},  // 2^64 + 5
        {"00000000000000005\r\nhello", ""},  // 17 digits
        {"5;" + std::string(256, 'x') + "\r\nhello", ""},
        {"5;a\0b\r\nhello"s, ""},
        {"5;a\x01\r\nhello", ""},
        {"5;a\tb\r\nhello", ""},
        {"5;a\x7f\r\nhello", ""},
        {"5;a\nhello\r\n0\r\n\r\n", ""},
        {"5;a=\"\n\"\r\nhello", ""},
        {"5;a=\"x\r\nhello\"\r\n", ""},
        {"5;a=\"\\\r\nhello\"\r\n", ""},
        {"5;a=\"\0\"\r\nhello"s, ""},
        {"0\r\nXX\r\n\r\n", ""},
        {"0\r\nGET / HTTP/1.1\r\n\r\n", ""},
        {"0\r\n: v\r\n\r\n", ""},
        {"0\r\n folded: v\r\n\r\n", ""},
        {"0\r\nA : v\r\n\r\n", ""},
        {"0\r\nA: v\n\r\n", ""},
        {"0\r\nA: v\rB: w\r\n\r\n", ""},
        {"0\r\nA: \0\r\n\r\n"s, ""},
        {"0\r\nT:" + std::string(8 * 1024 - 2, 'v') + "\r\n\r\n", ""},
        {"0\r\n" + repeated("A: b\r\n", 2000) + "\r\n", ""},
    };
    for (const auto& row : rows) {
        INFO(row.wire.substr(0, 100));
        auto r = decode_whole(row.wire);
        CHECK(r.bad);
        CHECK_FALSE(r.done);
        CHECK(r.payload == row.payload);
        if (row.wire.size() < 1000) {
            same_however_cut(row.wire);
        } else {
            CHECK(decode_bytewise(row.wire) == r);
        }
    }
}

TEST_CASE("after a bad byte nothing more is decoded")
{
    auto decoder = body_decoder::chunked();
    std::string wire = "x";
    CHECK(decoder.decode(wire).bad);
    std::string more = "5\r\nhello\r\n0\r\n\r\n";
    auto step = decoder.decode(more);
    CHECK(step.bad);
    CHECK(step.payload == 0);
    CHECK(step.consumed == 0);
}

TEST_CASE("a megabyte in one-byte chunks passes, framing that outweighs its payload does not")
{
    auto small = repeated("1\r\nx\r\n", 1 << 20);
    auto r = decode_whole(small + "0\r\n\r\n");
    CHECK(r.done);
    CHECK(r.payload.size() == 1 << 20);

    auto padded = repeated("000000000001\r\nx\r\n", 100'000);  // just 16 times
    CHECK_FALSE(decode_whole(padded).bad);

    auto heavy = repeated("1;" + std::string(250, 'e') + "\r\nx\r\n", 1000);
    auto refused = decode_whole(heavy);
    CHECK(refused.bad);
    CHECK(refused.payload.size() < 100);
}

TEST_CASE("trailers that end a body do not carry over into the next one")
{
    // The limit on a trailer section is each message's own: a decoder is made anew for each.
    std::string trailer = "0\r\nT:" + std::string(8000, 'v') + "\r\n\r\n";
    for (int i = 0; i < 3; ++i) {
        CHECK(decode_whole(trailer).done);
    }
}

TEST_CASE("a body of known length ends there and leaves pipelined bytes")
{
    auto decoder = body_decoder::of_length(8);
    CHECK(decoder.remaining() == 8);
    std::string first = "hello";
    auto step = decoder.decode(first);
    CHECK(step.payload == 5);
    CHECK(step.consumed == 5);
    CHECK_FALSE(step.done);
    CHECK_FALSE(decoder.ends_with_connection());
    CHECK(decoder.remaining() == 3);
    std::string second = "123GET / HTTP/1.1";
    step = decoder.decode(second);
    CHECK(step.payload == 3);
    CHECK(step.consumed == 3);
    CHECK(step.done);
    CHECK(decoder.done());
    CHECK(decoder.remaining() == 0);
    CHECK(decoder.ends_with_connection());
    step = decoder.decode(second);
    CHECK(step.consumed == 0);
    CHECK(step.done);
}

TEST_CASE("bodies without a byte are done before anything is read")
{
    CHECK(body_decoder::none().done());
    CHECK(body_decoder::of_length(0).done());
    CHECK_FALSE(body_decoder::chunked().done());
    CHECK_FALSE(body_decoder::until_close().done());
    auto decoder = body_decoder::none();
    std::string next = "GET";
    auto step = decoder.decode(next);
    CHECK(step.done);
    CHECK(step.consumed == 0);
    auto chunked = body_decoder::chunked();
    step = chunked.decode({});
    CHECK_FALSE(step.done);
    CHECK_FALSE(step.bad);
}

TEST_CASE(
    "a body until close takes everything and ends with the connection, a chunked one does not")
{
    auto decoder = body_decoder::until_close();
    std::string some = "anything\r\n0\r\n\r\n";
    auto step = decoder.decode(some);
    CHECK(step.payload == some.size());
    CHECK(step.consumed == some.size());
    CHECK_FALSE(step.done);
    CHECK(decoder.ends_with_connection());

    auto chunked = body_decoder::chunked();
    std::string cut = "5\r\nhello\r\n0\r\n";
    CHECK_FALSE(chunked.decode(cut).done);
    CHECK_FALSE(chunked.ends_with_connection());
}

TEST_CASE("random bodies in random chunks come out as they went in, however the reads are cut")
{
    std::mt19937 random(20240607);
    auto up_to = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n)(random);
    };
    for (int round = 0; round < 400; ++round) {
        std::string body;
        std::string wire;
        for (std::size_t chunks = up_to(20); chunks > 0; --chunks) {
            std::string data;
            for (std::size_t n = 1 + up_to(up_to(3) == 0 ? 3000 : 60); n > 0; --n) {
                data += "\r\n0;x\xff"[up_to(5)];
            }
            char size[40];
            std::snprintf(size, sizeof size, up_to(1) ? "%zx%s\r\n" : "%05zX%s\r\n", data.size(),
                          up_to(3) == 0 ? ";n=\"v\\\"\"" : "");
            wire += size + data + "\r\n";
            body += data;
        }
        wire += up_to(1) ? "0\r\n\r\n" : "0\r\nA: b\r\n\r\n";
        auto message = wire.size();
        wire += "POST /next HTTP/1.1\r\n";
        std::vector<std::size_t> cuts;
        for (std::size_t at = up_to(200); at < wire.size(); at += up_to(200)) {
            cuts.push_back(at);
        }
        auto r = decode(body_decoder::chunked(), wire, cuts);
        REQUIRE(r.done);
        REQUIRE(r.payload == body);
        REQUIRE(r.consumed == message);
    }
}
