// What a waiting client is told, byte for byte.
#include "stream/frames.hpp"

#include "catch.hpp"

#include <nlohmann/json.hpp>

#include <set>
#include <string>

using namespace gateway;

namespace {

queue_status waiting()
{
    return {phase::waiting, 2, 5, 12'300, 41'000, "llama3:latest", "abc", "You are number 2"};
}

std::string told(telling t, endpoint e, const queue_status& s = waiting(), bool done = false)
{
    return frame(t, e, s, 1763769600, "2025-11-22T00:00:00Z", done);
}

const telling every_telling[] = {telling::padding,      telling::comment,   telling::ping,
                                 telling::native_chunk, telling::sse_chunk, telling::sse_raw,
                                 telling::open_webui,   telling::silent};

}  // namespace

TEST_CASE("the payload is as documented")
{
    CHECK(
        payload(waiting()) ==
        R"({"status":"waiting","position":2,"queue_length":5,"waited_ms":12300,"eta_ms":41000,"model":"llama3:latest","request_id":"abc","message":"You are number 2"})");
    auto s = waiting();
    s.eta_ms.reset();
    s.status = phase::loading_model;
    s.position = 0;
    CHECK(
        payload(s) ==
        R"({"status":"loading_model","position":0,"queue_length":5,"waited_ms":12300,"eta_ms":null,"model":"llama3:latest","request_id":"abc","message":"You are number 2"})");
}

TEST_CASE("who takes nobody's turn is told no position")
{
    auto s = waiting();
    s.position.reset();
    CHECK(payload(s).starts_with(R"({"status":"waiting","position":null,"queue_length":5,)"));
}

TEST_CASE("each telling has its bytes")
{
    CHECK(told(telling::padding, endpoint::chat) == " ");
    CHECK(told(telling::comment, endpoint::chat_completions) ==
          ": queued position=2 waited=12s\n\n");
    CHECK(told(telling::ping, endpoint::messages) == "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    CHECK(told(telling::silent, endpoint::chat).empty());
    CHECK(
        told(telling::native_chunk, endpoint::chat) ==
        R"({"model":"llama3:latest","created_at":"2025-11-22T00:00:00Z","message":{"role":"assistant","content":""},"done":false,"queue_status":)" +
            payload(waiting()) + "}\n");
    CHECK(
        told(telling::native_chunk, endpoint::generate) ==
        R"({"model":"llama3:latest","created_at":"2025-11-22T00:00:00Z","response":"","done":false,"queue_status":)" +
            payload(waiting()) + "}\n");
    CHECK(told(telling::native_chunk, endpoint::embed) == " ");
    CHECK(
        told(telling::sse_chunk, endpoint::chat_completions) ==
        "event: queue_status\ndata: "
        R"({"id":"chatcmpl-queue","object":"chat.completion.chunk","created":1763769600,"model":"llama3:latest","choices":[{"index":0,"delta":{},"finish_reason":null}],"status":"waiting","position":2,"queue_length":5,"waited_ms":12300,"eta_ms":41000,"request_id":"abc","message":"You are number 2"})"
        "\n\n");
    CHECK(
        told(telling::sse_chunk, endpoint::completions) ==
        "event: queue_status\ndata: "
        R"({"id":"cmpl-queue","object":"text_completion","created":1763769600,"model":"llama3:latest","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":null}],"status":"waiting","position":2,"queue_length":5,"waited_ms":12300,"eta_ms":41000,"request_id":"abc","message":"You are number 2"})"
        "\n\n");
    CHECK(told(telling::sse_raw, endpoint::chat) ==
          "event: queue_status\ndata: " + payload(waiting()) + "\n\n");
    CHECK(
        told(telling::open_webui, endpoint::chat_completions) ==
        "data: "
        R"({"id":"chatcmpl-queue","object":"chat.completion.chunk","created":1763769600,"model":"llama3:latest","choices":[{"index":0,"delta":{},"finish_reason":null}],"event":{"type":"status","data":{"description":"You are number 2","done":false}}})"
        "\n\n");
    auto started = told(telling::open_webui, endpoint::chat_completions, waiting(), true);
    CHECK(started.find(R"("done":true}}})") != std::string::npos);
    CHECK(
        empty_chunk_frame(endpoint::chat_completions, waiting(), 7) ==
        "data: "
        R"({"id":"chatcmpl-queue","object":"chat.completion.chunk","created":7,"model":"llama3:latest","choices":[{"index":0,"delta":{},"finish_reason":null}]})"
        "\n\n");
}

TEST_CASE("a comment names the phase and never begins with ping")
{
    for (auto p : {phase::waiting, phase::loading_model, phase::starting, phase::processing,
                   phase::streaming, phase::answering}) {
        auto s = waiting();
        s.status = p;
        auto text = told(telling::comment, endpoint::responses, s);
        CHECK(text.substr(0, 2) == ": ");
        CHECK(text.substr(2, 4) != "ping");
        if (p != phase::waiting) {
            CHECK(text == std::string(": ") + word(p) + " waited=12s\n\n");
        }
    }
}

TEST_CASE(
    "whatever model, id and message are, a telling stays one valid record without forbidden keys")
{
    auto s = waiting();
    s.model = "m\"\\\r\n\n\ndata: x\x01\xff\xc3";
    s.request_id = "\xf0\x9f\xa6\x99\"}\n\n";
    s.message = "Platz 2 \xc3\xbc\n\nevent: x \xed\xa0\x80";
    const std::set<std::string> forbidden = {"error", "usage", "selected_model_id"};
    for (auto t : every_telling) {
        for (auto e : {endpoint::chat, endpoint::generate, endpoint::chat_completions,
                       endpoint::completions, endpoint::responses, endpoint::messages}) {
            auto text = told(t, e, s);
            if (text.find('{') == std::string::npos || t == telling::ping) {
                continue;
            }
            bool sse = t != telling::native_chunk;
            auto begin = text.find('{');
            auto body = text.substr(begin, text.size() - begin - (sse ? 2 : 1));
            CHECK(text.substr(text.size() - (sse ? 2 : 1)) == (sse ? "\n\n" : "\n"));
            CHECK(body.find('\n') == std::string::npos);
            CHECK(body.find('\r') == std::string::npos);
            auto parsed = nlohmann::json::parse(body, nullptr, false);
            REQUIRE(parsed.is_object());
            for (const auto& [key, value] : parsed.items()) {
                CHECK(forbidden.count(key) == 0);
                CHECK((key != "event" || t == telling::open_webui));
                CHECK((key != "done" || (t == telling::native_chunk && value == false)));
                CHECK(key != "type");
            }
        }
    }
}
