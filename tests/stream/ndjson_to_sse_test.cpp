// NDJSON re-told as SSE.
#include "stream/reader.hpp"

#include "catch.hpp"

#include <string>
#include <string_view>
#include <vector>

using gateway::ndjson_to_sse;

namespace {

std::string told(std::string_view text, std::size_t step)
{
    ndjson_to_sse teller;
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += step) {
        teller.feed(text.substr(at, step), out);
    }
    teller.flush(out);
    return out;
}

}  // namespace

TEST_CASE("each NDJSON line is one data event, whatever the pieces, and blank lines vanish")
{
    struct row {
        std::string ndjson;
        std::string sse;
    };
    const std::vector<row> rows = {
        {"", ""},
        {"\n\r\n \n", ""},
        {"{\"a\":1}\n", "data: {\"a\":1}\n\n"},
        {"{\"a\":1}\r\n{\"b\":2}\r\n", "data: {\"a\":1}\n\ndata: {\"b\":2}\n\n"},
        {"{\"a\":1}\n\n  {\"b\":2} \n", "data: {\"a\":1}\n\ndata: {\"b\":2}\n\n"},
        {"{\"a\":1}\n{\"b\":2}", "data: {\"a\":1}\n\ndata: {\"b\":2}\n\n"},
        {"{\"a\":\r1}\n", "data: {\"a\": 1}\n\n"},
        {"   ", ""},
    };
    for (const auto& row : rows) {
        INFO(row.ndjson);
        for (std::size_t step = 1; step <= row.ndjson.size() + 1; ++step) {
            CHECK(told(row.ndjson, step) == row.sse);
        }
    }
}

TEST_CASE("a line is told when it is whole and not before")
{
    ndjson_to_sse teller;
    std::string out;
    teller.feed("{\"a\":", out);
    CHECK(out.empty());
    CHECK_FALSE(teller.mid_record());
    teller.feed("1}\n{", out);
    CHECK(out == "data: {\"a\":1}\n\n");
}

TEST_CASE("a line too long to keep is told as it comes")
{
    ndjson_to_sse teller;
    std::string out;
    std::string piece(1 << 20, 'x');
    for (int i = 0; i < 20; ++i) {
        teller.feed(piece, out);
    }
    CHECK(teller.mid_record());
    CHECK(out.size() == 6 + 20 * piece.size());
    teller.feed("y\n{}\n", out);
    CHECK_FALSE(teller.mid_record());
    CHECK(out.substr(out.size() - 14) == "xy\n\ndata: {}\n\n");
}
