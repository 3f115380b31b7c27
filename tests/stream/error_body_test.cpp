// Errors in the words of each API.
#include "stream/frames.hpp"

#include "catch.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

using namespace gateway;
using nlohmann::json;

namespace {

const std::vector<attempt> one_attempt = {
    {"llama3:latest", "local", outcome::timed_out, 0, "no byte for 300 s", 300004}};
const std::string attempts_json =
    R"("attempts":[{"model":"llama3:latest","upstream":"local","outcome":"timed_out","error":"no byte for 300 s","ms":300004}])";

fault timed_out()
{
    return {fault_code::timed_out, "llama3 timed out after 300 s", whose::upstream, retry::no, 0};
}

fault of(fault_code code)
{
    return {code, "", whose::ours, retry::no, 0};
}

const fault_code every_code[] = {
    fault_code::queue_full,      fault_code::queue_timeout, fault_code::no_upstream,
    fault_code::upstream_failed, fault_code::timed_out,     fault_code::model_stuck,
    fault_code::bad_request,     fault_code::bad_body,      fault_code::too_large,
    fault_code::head_too_large,  fault_code::unauthorized,  fault_code::forbidden,
    fault_code::overloaded,      fault_code::loop,          fault_code::not_found,
    fault_code::bad_method,      fault_code::cancelled,     fault_code::draining,
    fault_code::client_gone};

// The JSON of one SSE event.
std::string data_of(const std::string& event)
{
    auto at = event.find("data: ") + 6;
    return event.substr(at, event.size() - at - 2);
}

}  // namespace

TEST_CASE("error bodies are as documented in each dialect")
{
    CHECK(error_body(timed_out(), dialect::native, one_attempt) ==
          R"({"error":"llama3 timed out after 300 s","code":"timed_out",)" + attempts_json + "}\n");
    CHECK(
        error_body(timed_out(), dialect::openai, one_attempt) ==
        R"({"error":{"message":"llama3 timed out after 300 s","type":"server_error","param":null,"code":"timed_out",)" +
            attempts_json + "}}\n");
    CHECK(
        error_body(timed_out(), dialect::anthropic, one_attempt) ==
        R"({"type":"error","error":{"type":"timeout_error","message":"llama3 timed out after 300 s","code":"timed_out",)" +
            attempts_json + "}}\n");
    CHECK(error_body(timed_out(), dialect::native, {}) ==
          R"({"error":"llama3 timed out after 300 s","code":"timed_out"})"
          "\n");
}

TEST_CASE("a full queue is told in Ollama's own words to native clients")
{
    const std::string busy = "server busy, please try again.  maximum pending requests exceeded";
    fault full{fault_code::queue_full, "512 are waiting", whose::ours, retry::no, 3};
    fault late{fault_code::queue_timeout, "it would take 90 s", whose::ours, retry::no, 3};
    CHECK(error_body(full, dialect::native, {}) == R"({"error":")" + busy +
                                                       R"(","code":"queue_full"})"
                                                       "\n");
    CHECK(error_body(late, dialect::native, {}) == R"({"error":")" + busy +
                                                       R"(","code":"queue_timeout"})"
                                                       "\n");
    CHECK(
        error_body(full, dialect::openai, {}) ==
        R"({"error":{"message":"512 are waiting","type":"rate_limit_error","param":null,"code":"queue_full"}})"
        "\n");
    CHECK(
        error_body(full, dialect::anthropic, {}) ==
        R"({"type":"error","error":{"type":"overloaded_error","message":"512 are waiting","code":"queue_full"}})"
        "\n");
}

TEST_CASE("each fault has the type its API would give it")
{
    struct row {
        fault_code code;
        const char* openai;
        const char* anthropic;
    };
    const row rows[] = {
        {fault_code::queue_full, "rate_limit_error", "overloaded_error"},
        {fault_code::queue_timeout, "rate_limit_error", "overloaded_error"},
        {fault_code::no_upstream, "server_error", "overloaded_error"},
        {fault_code::upstream_failed, "server_error", "api_error"},
        {fault_code::timed_out, "server_error", "timeout_error"},
        {fault_code::model_stuck, "server_error", "overloaded_error"},
        {fault_code::bad_request, "invalid_request_error", "invalid_request_error"},
        {fault_code::bad_body, "invalid_request_error", "invalid_request_error"},
        {fault_code::too_large, "invalid_request_error", "request_too_large"},
        {fault_code::head_too_large, "invalid_request_error", "invalid_request_error"},
        {fault_code::unauthorized, "invalid_request_error", "authentication_error"},
        {fault_code::forbidden, "invalid_request_error", "permission_error"},
        {fault_code::overloaded, "server_error", "overloaded_error"},
        {fault_code::loop, "server_error", "api_error"},
        {fault_code::not_found, "invalid_request_error", "not_found_error"},
        {fault_code::bad_method, "invalid_request_error", "invalid_request_error"},
        {fault_code::cancelled, "server_error", "api_error"},
        {fault_code::draining, "server_error", "overloaded_error"},
    };
    for (const auto& row : rows) {
        INFO(word(row.code));
        auto openai = json::parse(error_body(of(row.code), dialect::openai, {}));
        CHECK(openai["error"]["type"] == row.openai);
        auto anthropic = json::parse(error_body(of(row.code), dialect::anthropic, {}));
        CHECK(anthropic["error"]["type"] == row.anthropic);
    }
}

TEST_CASE("every error says something, has its code and no key that Go's client takes for its own")
{
    for (auto code : every_code) {
        for (auto d : {dialect::native, dialect::openai, dialect::anthropic}) {
            for (auto message : {std::string(), std::string("a\"b\\\n\xff\x01 \xc3\xa4")}) {
                fault f{code, message, whose::ours, retry::no, 0};
                auto body = error_body(f, d, one_attempt);
                CHECK(body.find('\n') == body.size() - 1);
                auto parsed = json::parse(body, nullptr, false);
                REQUIRE(parsed.is_object());
                const auto& object = d == dialect::native ? parsed : parsed["error"];
                CHECK(object["code"] == std::string(word(code)));
                CHECK(object["attempts"].size() == 1);
                CHECK(object.count("http_status") == 0);
                CHECK(parsed.count("status") + parsed.count("statuscode") == 0);
                auto text = object[d == dialect::native ? "error" : "message"];
                CHECK_FALSE(text.get<std::string>().empty());
            }
        }
    }
}

TEST_CASE("an error in the middle of an answer is framed as the answer is")
{
    auto f = timed_out();
    CHECK(error_in_band(f, endpoint::chat, dialect::native, shape::ndjson, {}, false) ==
          R"({"error":"llama3 timed out after 300 s","code":"timed_out","http_status":504})"
          "\n");
    CHECK(error_in_band(f, endpoint::chat, dialect::native, shape::one_piece, one_attempt, false) ==
          R"({"error":"llama3 timed out after 300 s","code":"timed_out","http_status":504,)" +
              attempts_json + "}\n");
    CHECK(error_in_band(f, endpoint::chat, dialect::native, shape::native_sse, {}, false) ==
          "event: error\ndata: "
          R"({"error":"llama3 timed out after 300 s","code":"timed_out","http_status":504})"
          "\n\n");
    for (auto e : {endpoint::chat_completions, endpoint::completions}) {
        CHECK(
            error_in_band(f, e, dialect::openai, shape::sse, {}, false) ==
            R"(data: {"error":{"message":"llama3 timed out after 300 s","type":"server_error","param":null,"code":"timed_out","http_status":504}})"
            "\n\n");
    }
    CHECK(
        error_in_band(f, endpoint::chat_completions, dialect::openai, shape::one_piece, {},
                      false) ==
        R"({"error":{"message":"llama3 timed out after 300 s","type":"server_error","param":null,"code":"timed_out","http_status":504}})"
        "\n");
    CHECK(
        error_in_band(f, endpoint::messages, dialect::anthropic, shape::sse, one_attempt, false) ==
        "event: error\ndata: "
        R"({"type":"error","code":"timed_out","message":"llama3 timed out after 300 s","param":null,"sequence_number":0,"error":{"type":"timeout_error","code":"timed_out","message":"llama3 timed out after 300 s","http_status":504,)" +
            attempts_json + "}}\n\n");
    CHECK(error_in_band(of(fault_code::queue_full), endpoint::responses, dialect::openai,
                        shape::sse, {}, false)
              .find(R"("http_status":429)") != std::string::npos);
}

TEST_CASE("an error after a cut record starts on a line of its own")
{
    auto f = timed_out();
    auto cut = [&](endpoint e, dialect d, shape s) {
        auto whole = error_in_band(f, e, d, s, {}, false);
        auto after = error_in_band(f, e, d, s, {}, true);
        CHECK(whole.front() != '\n');
        REQUIRE(after.size() > whole.size());
        CHECK(after.substr(after.size() - whole.size()) == whole);
        return after.substr(0, after.size() - whole.size());
    };
    CHECK(cut(endpoint::chat, dialect::native, shape::ndjson) == "\n");
    CHECK(cut(endpoint::chat, dialect::native, shape::one_piece) == "\n");
    CHECK(cut(endpoint::chat, dialect::native, shape::native_sse) == "\n\n");
    CHECK(cut(endpoint::chat_completions, dialect::openai, shape::sse) == "\n\n");
    CHECK(cut(endpoint::messages, dialect::anthropic, shape::sse) == "\n\n");
}

TEST_CASE("an upstream's own error is re-told in its own words with its status")
{
    CHECK(upstream_error_in_band(404, R"({"error":"model 'x' not found"})", endpoint::chat,
                                 dialect::native, shape::ndjson, {}) ==
          R"({"error":"model 'x' not found","http_status":404})"
          "\n");
    CHECK(upstream_error_in_band(
              401, "{\"error\":\"unauthorized\",\"signin_url\":\"https://x\",\"status\":\"no\"}\n",
              endpoint::chat, dialect::native, shape::native_sse, {}) ==
          "event: error\ndata: "
          R"({"error":"unauthorized","http_status":401,"signin_url":"https://x"})"
          "\n\n");
    CHECK(
        upstream_error_in_band(
            400,
            R"({"error":{"message":"EOF","type":"invalid_request_error","param":"x","code":null}})",
            endpoint::chat_completions, dialect::openai, shape::sse, {}) ==
        R"(data: {"error":{"message":"EOF","type":"invalid_request_error","param":"x","code":null,"http_status":400}})"
        "\n\n");
    CHECK(
        upstream_error_in_band(
            503,
            R"({"type":"error","error":{"type":"overloaded_error","message":"busy"},"request_id":"req_1"})",
            endpoint::messages, dialect::anthropic, shape::sse, {}) ==
        "event: error\ndata: "
        R"({"type":"error","code":null,"message":"busy","param":null,"sequence_number":0,"error":{"type":"overloaded_error","code":null,"message":"busy","http_status":503}})"
        "\n\n");
    CHECK(
        upstream_error_in_band(
            503, R"({"type":"error","error":{"type":"overloaded_error","message":"busy"}})",
            endpoint::messages, dialect::anthropic, shape::one_piece, one_attempt) ==
        R"({"type":"error","error":{"type":"overloaded_error","message":"busy","http_status":503,)" +
            attempts_json + "}}\n");
}

TEST_CASE("an upstream's error that is no JSON, or another API's, or hostile, is re-told as text")
{
    struct row {
        std::string body;
        std::string text;
    };
    std::string deep;
    for (int i = 0; i < 20'000; ++i) {
        deep += "[";
    }
    const std::vector<row> rows = {
        {"", "the upstream answered 502"},
        {" \r\n", "the upstream answered 502"},
        {"<html>bad gateway</html>\n", "<html>bad gateway</html>"},
        {R"({"error":"native words"})", "native words"},
        {R"({"error":{"message":"openai words"}})", "openai words"},
        {R"({"error":null})", R"({"error":null})"},
        {R"({"error":{"message":{"a":1}}})", R"({"error":{"message":{"a":1}}})"},
        {R"({"error":)" + deep, (R"({"error":)" + deep).substr(0, 4096)},
        {R"({"error":"x","deep":)" + deep + std::string(deep.size(), ']') + "}", "x"},
        {std::string(1'000'000, 'x'), std::string(4096, 'x')},
        {"\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (const auto& row : rows) {
        INFO(row.body.substr(0, 100));
        auto native = upstream_error_in_band(502, row.body, endpoint::generate, dialect::native,
                                             shape::ndjson, {});
        auto parsed = json::parse(native, nullptr, false);
        REQUIRE(parsed.is_object());
        CHECK(parsed["error"] == row.text);
        CHECK(parsed["http_status"] == 502);
        CHECK(native.find('\n') == native.size() - 1);

        parsed =
            json::parse(data_of(upstream_error_in_band(502, row.body, endpoint::chat_completions,
                                                       dialect::openai, shape::sse, {})),
                        nullptr, false);
        REQUIRE(parsed.is_object());
        CHECK(parsed["error"]["message"] == row.text);
        CHECK(parsed["error"]["http_status"] == 502);
    }
}
