// The table of faults and how attempts are written.
#include "call/fault.hpp"
#include "call/attempt.hpp"

#include "catch.hpp"

#include <nlohmann/json.hpp>

#include <climits>
#include <cstdint>
#include <set>
#include <string>

using namespace gateway;

TEST_CASE("every fault has its word and its status in each dialect")
{
    struct row {
        fault_code code;
        std::string_view word;
        int native;
        int openai;
        int anthropic;
    };
    const row rows[] = {
        {fault_code::queue_full, "queue_full", 503, 429, 529},
        {fault_code::queue_timeout, "queue_timeout", 503, 429, 529},
        {fault_code::no_upstream, "no_upstream", 503, 503, 503},
        {fault_code::upstream_failed, "upstream_failed", 502, 502, 502},
        {fault_code::timed_out, "timed_out", 504, 504, 504},
        {fault_code::model_stuck, "model_stuck", 503, 503, 503},
        {fault_code::bad_request, "bad_request", 400, 400, 400},
        {fault_code::bad_body, "bad_body", 400, 400, 400},
        {fault_code::too_large, "too_large", 413, 413, 413},
        {fault_code::head_too_large, "head_too_large", 431, 431, 431},
        {fault_code::unauthorized, "unauthorized", 401, 401, 401},
        {fault_code::forbidden, "forbidden", 403, 403, 403},
        {fault_code::overloaded, "overloaded", 503, 503, 503},
        {fault_code::loop, "loop", 508, 508, 508},
        {fault_code::not_found, "not_found", 404, 404, 404},
        {fault_code::bad_method, "bad_method", 405, 405, 405},
        {fault_code::cancelled, "cancelled", 503, 503, 503},
        {fault_code::draining, "draining", 503, 503, 503},
        {fault_code::conflict, "conflict", 409, 409, 409},
        {fault_code::jobs_unavailable, "jobs_unavailable", 503, 503, 503},
        {fault_code::client_gone, "client_gone", 499, 499, 499},
    };
    std::set<std::string_view> words;
    for (const auto& row : rows) {
        INFO(row.word);
        CHECK(word(row.code) == row.word);
        CHECK(http_status(row.code, dialect::native) == row.native);
        CHECK(http_status(row.code, dialect::openai) == row.openai);
        CHECK(http_status(row.code, dialect::anthropic) == row.anthropic);
        CHECK(words.insert(row.word).second);
    }
}

TEST_CASE("attempts are told in JSON with their keys in the documented order")
{
    std::vector<attempt> attempts = {
        {"llama3:latest", "local", outcome::timed_out, 0, "no byte for 300 s", 300004},
        {"mistral:latest", "local", outcome::upstream_status, 500, "", 12},
        {"phi:latest", "b", outcome::ok, 0, "", 812},
    };
    CHECK(
        to_json(attempts) ==
        R"([{"model":"llama3:latest","upstream":"local","outcome":"timed_out","error":"no byte for 300 s","ms":300004},)"
        R"({"model":"mistral:latest","upstream":"local","outcome":"upstream_status","status":500,"ms":12},)"
        R"({"model":"phi:latest","upstream":"b","outcome":"ok","ms":812}])");
    CHECK(to_json({}) == "[]");
}

TEST_CASE("attempts stay valid JSON whatever a model is called")
{
    std::vector<attempt> attempts = {
        {"a\"b\\\r\n\x01\xff", "lo\"cal", outcome::stuck, 0, "\xc3(\"", 1}};
    auto parsed = nlohmann::json::parse(to_json(attempts), nullptr, false);
    REQUIRE(parsed.is_array());
    CHECK(parsed[0]["outcome"] == "stuck");
    CHECK(parsed[0]["upstream"] == "lo\"cal");
}

TEST_CASE("attempts are told in a header")
{
    std::vector<attempt> attempts = {
        {"llama3:latest", "local", outcome::timed_out, 0, "no byte", 300004},
        {"mistral:latest", "local", outcome::ok, 0, "", 812},
    };
    CHECK(
        to_header(attempts) ==
        "llama3:latest@local;outcome=timed_out;ms=300004, mistral:latest@local;outcome=ok;ms=812");
    attempts = {{"hf.co/u/m:q4", "b", outcome::upstream_status, 404, "", 3}};
    CHECK(to_header(attempts) == "hf.co/u/m:q4@b;outcome=upstream_status;status=404;ms=3");
    CHECK(to_header({}).empty());
}

TEST_CASE("a model's name cannot break out of the attempts header")
{
    std::vector<attempt> attempts = {
        {"a\r\nSet-Cookie: x, b@c;ms=1 \xc3\xa4", "l", outcome::ok, 0, "", 1}};
    CHECK(to_header(attempts) ==
          "a%0D%0ASet-Cookie:%20x%2C%20b%40c%3Bms%3D1%20%C3%A4@l;outcome=ok;ms=1");
    attempts[0].model.assign(1'000'000, '\xff');
    CHECK(to_header(attempts).size() < 1000);
    std::string cut;
    for (int i = 0; i < 200; ++i) {
        cut += "%FF";
    }
    attempts[0] = {attempts[0].model, attempts[0].model, outcome::upstream_status, INT_MIN, "",
                   INT64_MIN};
    CHECK(to_header(attempts) == cut + "@" + cut +
                                     ";outcome=upstream_status;status=-2147483648;"
                                     "ms=-9223372036854775808");
}
