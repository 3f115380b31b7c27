// Paths and methods to kinds, bodies to finer kinds, names as Ollama compares them, and manners of
// telling.
#include "downstream/classify.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE("each method and path is the kind of request that SPEC section 4 says")
{
    struct row {
        const char* method;
        const char* path;
        endpoint where;
        kind what;
        dialect words;
    };
    using e = endpoint;
    using k = kind;
    using d = dialect;
    for (const row& r : {
             row{"POST", "/api/generate", e::generate, k::generation, d::native},
             row{"POST", "/api/chat", e::chat, k::generation, d::native},
             row{"POST", "/api/embed", e::embed, k::embedding, d::native},
             row{"POST", "/api/embeddings", e::embeddings, k::embedding, d::native},
             row{"POST", "/v1/chat/completions", e::chat_completions, k::generation, d::openai},
             row{"POST", "/v1/completions", e::completions, k::generation, d::openai},
             row{"POST", "/v1/embeddings", e::v1_embeddings, k::embedding, d::openai},
             row{"POST", "/v1/responses", e::responses, k::generation, d::openai},
             row{"POST", "/v1/messages", e::messages, k::generation, d::anthropic},
             row{"POST", "/v1/audio/transcriptions", e::transcriptions, k::generation, d::openai},
             row{"GET", "/api/chat", e::other, k::information, d::native},
             row{"OPTIONS", "/api/chat", e::other, k::information, d::native},
             row{"POST", "/api/chat/", e::other, k::information, d::native},
             row{"POST", "/API/chat", e::other, k::information, d::native},
             row{"POST", "/api/chatx", e::other, k::information, d::native},
             row{"GET", "/", e::other, k::information, d::native},
             row{"HEAD", "/", e::other, k::information, d::native},
             row{"GET", "/api/tags", e::other, k::information, d::native},
             row{"GET", "/api/ps", e::other, k::information, d::native},
             row{"POST", "/api/show", e::other, k::information, d::native},
             row{"GET", "/v1/models", e::other, k::information, d::openai},
             row{"GET", "/v1/models/llama3", e::other, k::information, d::openai},
             row{"GET", "/v1/messages", e::other, k::information, d::anthropic},
             row{"POST", "/v1/messages/count_tokens", e::other, k::information, d::anthropic},
             row{"POST", "/v1/messagesx", e::other, k::information, d::openai},
             row{"GET", "/v1x", e::other, k::information, d::native},
             row{"POST", "/api/pull", e::management, k::management, d::native},
             row{"GET", "/api/pull", e::management, k::management, d::native},
             row{"POST", "/api/push", e::management, k::management, d::native},
             row{"POST", "/api/create", e::management, k::management, d::native},
             row{"POST", "/api/copy", e::management, k::management, d::native},
             row{"DELETE", "/api/delete", e::management, k::management, d::native},
             row{"HEAD", "/api/blobs/sha256:00", e::management, k::management, d::native},
             row{"POST", "/api/blobs/sha256:00", e::management, k::management, d::native},
             row{"POST", "/api/me", e::management, k::management, d::native},
             row{"POST", "/api/signout", e::management, k::management, d::native},
             row{"DELETE", "/api/user/keys/x", e::management, k::management, d::native},
             row{"POST", "/api/experimental/web_search", e::management, k::management, d::native},
             row{"POST", "/api/blobsx", e::other, k::information, d::native},
             row{"POST", "/api/pull/", e::other, k::information, d::native},
             row{"OPTIONS", "/api/pull", e::other, k::information, d::native},
             row{"GET", "/gateway/queue", e::gateway, k::own, d::native},
             row{"POST", "/gateway/jobs", e::gateway, k::own, d::native},
             row{"GET", "/gateway", e::gateway, k::own, d::native},
             row{"GET", "/gatewayx", e::other, k::information, d::native},
         }) {
        INFO(r.method << " " << r.path);
        const auto c = classify(r.method, r.path);
        CHECK(c.where == r.where);
        CHECK(c.what == r.what);
        CHECK(c.words == r.words);
    }
}

TEST_CASE("a call without a prompt is a load, with keep_alive 0 an unload, without a model nothing")
{
    const auto refined = [](const char* path, const char* body) {
        const auto c = classify("POST", path);
        const auto facts = scan_json(body, c.where);
        REQUIRE(facts.has_value());
        return refine(c, *facts);
    };
    CHECK(refined("/api/generate", R"({"model":"m","prompt":"x"})") == kind::generation);
    CHECK(refined("/api/generate", R"({"model":"m"})") == kind::load);
    CHECK(refined("/api/generate", R"({"model":"m","images":["aaaa"]})") == kind::load);
    CHECK(refined("/api/generate", R"({"model":"m","prompt":"","keep_alive":"0s"})") ==
          kind::unload);
    CHECK(refined("/api/generate", R"({"model":"m","prompt":"x","keep_alive":0})") ==
          kind::generation);
    CHECK(refined("/api/chat", R"({"model":"m","messages":[]})") == kind::load);
    CHECK(refined("/api/chat", R"({"model":"m","messages":[ ],"keep_alive":0})") == kind::unload);
    CHECK(refined("/api/chat", R"({"model":"m","prompt":"x"})") == kind::load);
    CHECK(refined("/api/chat", R"({"model":"m","messages":[{}]})") == kind::generation);
    CHECK(refined("/api/embed", R"({"model":"m","keep_alive":0})") == kind::embedding);
    CHECK(refined("/v1/chat/completions", R"({"model":"m","messages":[],"keep_alive":0})") ==
          kind::generation);
    CHECK(refined("/api/chat", R"({"messages":[{}]})") == kind::information);
    CHECK(refined("/api/chat", "") == kind::information);
    CHECK(refined("/api/embed", "[]") == kind::information);
    CHECK(refine(classify("GET", "/api/tags"), {}) == kind::information);
    CHECK(refine(classify("POST", "/api/pull"), {}) == kind::management);
    CHECK(refine(classify("POST", "/gateway/jobs"), {}) == kind::own);
}

namespace {

struct wish {
    std::string_view accept = "*/*";
    std::string_view events = {};
    std::string_view heartbeat = {};
    bool open_webui = false;
};

manner told(const char* path, std::optional<bool> stream, const wish& w)
{
    body_facts facts;
    facts.model = "m";
    facts.stream = stream;
    return manner_of(classify("POST", path), facts,
                     {w.accept, w.events, w.heartbeat, w.open_webui});
}

}  // namespace

TEST_CASE("how a wait is told follows from the request alone, as SPEC section 6 says")
{
    using s = shape;
    using t = telling;
    struct row {
        const char* path;
        std::optional<bool> stream;
        wish asks;
        shape framed;
        telling told;
        bool at_once;
    };
    const wish nothing;
    const wish sse{"text/event-stream"};
    const wish one{"*/*", "1"};
    const wish raw{"*/*", "raw"};
    const wish quiet{"*/*", {}, "off"};
    const wish webui{"*/*", {}, {}, true};
    const std::optional<bool> absent;
    const char* const chat = "/v1/chat/completions";
    const row table[] = {
        {"/api/chat", absent, nothing, s::ndjson, t::padding, false},
        {"/api/generate", true, nothing, s::ndjson, t::padding, false},
        {"/api/chat", false, nothing, s::one_piece, t::padding, false},
        {"/api/chat", absent, one, s::ndjson, t::native_chunk, true},
        {"/api/chat", absent, raw, s::ndjson, t::native_chunk, true},
        {"/api/chat", absent, quiet, s::ndjson, t::silent, false},
        {"/api/chat", absent, webui, s::ndjson, t::padding, false},
        {"/api/chat", absent, sse, s::native_sse, t::sse_raw, true},
        {"/api/generate", false, sse, s::native_sse, t::sse_raw, true},
        {"/api/generate", false, one, s::one_piece, t::padding, false},
        {"/api/chat", absent, {"text/event-stream", "1", "off"}, s::native_sse, t::sse_raw, true},
        {"/api/embed", absent, nothing, s::one_piece, t::padding, false},
        {"/api/embed", true, sse, s::one_piece, t::padding, false},
        {"/api/embeddings", absent, quiet, s::one_piece, t::silent, false},
        {chat, absent, nothing, s::one_piece, t::padding, false},
        {chat, true, nothing, s::sse, t::comment, false},
        {chat, true, sse, s::sse, t::sse_chunk, true},
        {chat, true, one, s::sse, t::sse_chunk, true},
        {chat, true, raw, s::sse, t::sse_raw, true},
        {chat, true, quiet, s::sse, t::silent, false},
        {chat, true, {"*/*", "1", "off"}, s::sse, t::sse_chunk, true},
        {chat, true, webui, s::sse, t::open_webui, true},
        {chat, true, {"*/*", "1", {}, true}, s::sse, t::open_webui, true},
        {chat, true, {"*/*", "raw", {}, true}, s::sse, t::sse_raw, true},
        {chat, true, {"text/event-stream", {}, {}, true}, s::sse, t::open_webui, true},
        {chat, false, webui, s::one_piece, t::padding, false},
        {chat, false, sse, s::one_piece, t::padding, false},
        {"/v1/completions", true, nothing, s::sse, t::comment, false},
        {"/v1/completions", true, one, s::sse, t::sse_chunk, true},
        {"/v1/responses", true, nothing, s::sse, t::comment, false},
        {"/v1/responses", true, sse, s::sse, t::comment, false},
        {"/v1/responses", true, one, s::sse, t::comment, true},
        {"/v1/messages", true, nothing, s::sse, t::ping, false},
        {"/v1/messages", true, one, s::sse, t::ping, true},
        {"/v1/messages", true, quiet, s::sse, t::silent, false},
        {"/v1/messages", absent, nothing, s::one_piece, t::padding, false},
        {"/v1/embeddings", true, one, s::one_piece, t::padding, false},
        {"/v1/audio/transcriptions", true, sse, s::one_piece, t::padding, false},
    };
    int n = 0;
    for (const row& r : table) {
        INFO("row " << n++ << ": " << r.path);
        const auto m = told(r.path, r.stream, r.asks);
        CHECK(m.framed == r.framed);
        CHECK(m.told == r.told);
        CHECK(m.at_once == r.at_once);
    }
}

TEST_CASE("only an Accept that names event streams asks for them")
{
    for (const char* accept :
         {"text/event-stream", "Text/Event-Stream", "application/json, text/event-stream",
          "text/event-stream;q=0.5", "text/event-stream ; charset=utf-8",
          "text/event-stream;q=0,text/event-stream;q=1", "a/b;q=0,text/event-stream"}) {
        INFO(accept);
        CHECK(told("/api/chat", {}, {accept}).framed == shape::native_sse);
    }
    for (const char* accept :
         {"", "*/*", "text/*", "application/json", "text/event-stream;q=0",
          "text/event-stream; Q=0.000", "text/event-streams", "xtext/event-stream",
          "application/x-ndjson", ",;,", "text/event-stream;q= 0"}) {
        INFO(accept);
        CHECK(told("/api/chat", {}, {accept}).framed == shape::ndjson);
    }
}
