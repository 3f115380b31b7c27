// What the simulated Ollama puts on the wire.
#include <zstd.h>

#include "fixture.hpp"

using namespace sim_test;

namespace {

std::vector<json> lines(const std::string& body)
{
    std::vector<json> out;
    std::size_t at = 0;
    while (at < body.size()) {
        auto end = body.find('\n', at);
        out.push_back(json::parse(body.substr(at, end - at)));
        at = end + 1;
    }
    return out;
}

}  // namespace

TEST_CASE("the information endpoints answer as Ollama's do")
{
    fixture f;
    auto root = f.ask("GET", "/");
    CHECK(root.body == "Ollama is running");
    CHECK(root.field("Content-Type") == "text/plain; charset=utf-8");
    CHECK(root.field("Content-Length") == "17");
    CHECK(!root.field("Date").empty());
    CHECK(root.field("Server").empty());
    auto head = f.ask("HEAD", "/");
    CHECK(head.status == 200);
    CHECK(head.field("Content-Length") == "17");
    CHECK(f.ask("GET", "/api/version").body == "{\"version\":\"0.33.0\"}");
    CHECK(f.ask("GET", "/api/status").body ==
          "{\"cloud\":{\"disabled\":false,\"source\":\"none\"}}");
    CHECK(f.ask("GET", "/api/ps").body == "{\"models\":[]}");
    auto tags = json::parse(f.ask("GET", "/api/tags").body);
    CHECK(tags["models"][0]["name"] == "m:latest");
    CHECK(tags["models"][0]["digest"].get<std::string>().size() == 64);
    auto show = f.ask("POST", "/api/show", "{\"model\":\"M\"}");
    auto shown = json::parse(show.body);
    CHECK(shown["capabilities"][0] == "completion");
    CHECK(shown["modelfile"].get<std::string>().find("/blobs/sha256-") != std::string::npos);
    CHECK(f.ask("POST", "/api/show", "{\"model\":\"m\",\"verbose\":true}").body.size() > 500'000);
    CHECK(f.ask("POST", "/api/me").status == 401);
    CHECK(f.ask("GET", "/v1/models").field("Content-Type") == "application/json");
    CHECK(json::parse(f.ask("GET", "/v1/models/m").body)["id"] == "m");
}

TEST_CASE("small answers have a length and large ones are chunked")
{
    fixture f({"m,load=0s,prompt=0s,rate=0,tokens=400"});
    CHECK(!f.ask("POST", "/api/chat", "{\"model\":\"m\"}").chunked);
    auto long_one =
        f.ask("POST", "/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"stream\":false}");
    CHECK(long_one.chunked);
    CHECK(long_one.complete);
    CHECK(long_one.chunks.size() == 1);
    client old(f.port);
    old.send(
        "POST /api/generate HTTP/1.0\r\nContent-Length: "
        "26\r\n\r\n{\"model\":\"m\",\"prompt\":\"x\"}");
    auto r = old.read();
    CHECK(!r.chunked);
    CHECK(r.closed);
    CHECK(lines(r.body).back()["done"] == true);
}

TEST_CASE("a native stream is one chunk a line, with the figures in its last")
{
    fixture f;
    auto r = f.ask("POST", "/api/generate", "{\"model\":\"m\",\"prompt\":\"hi\"}");
    CHECK(r.field("Content-Type") == "application/x-ndjson");
    CHECK(r.complete);
    REQUIRE(r.chunks.size() == 6);
    for (auto& chunk : r.chunks)
        CHECK(chunk.find('\n') == chunk.size() - 1);
    auto all = lines(r.body);
    CHECK(all[0]["model"] == "m");
    CHECK(all[0]["done"] == false);
    auto& last = all.back();
    CHECK(last["done_reason"] == "stop");
    CHECK(last["eval_count"] == 5);
    CHECK(last["context"].size() == last["prompt_eval_count"].get<std::size_t>() + 5);
    CHECK(last["total_duration"].get<std::int64_t>() > 0);

    auto chat =
        lines(f.ask("POST", "/api/chat",
                    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                    "\"options\":{\"num_predict\":2}}")
                  .body);
    CHECK(chat.size() == 3);
    CHECK(chat[0]["message"]["role"] == "assistant");
    CHECK(chat.back()["done_reason"] == "length");
    CHECK(!chat.back().contains("context"));
}

TEST_CASE("with a fixed time two answers are the same bytes")
{
    fixture f({"m,load=0s,prompt=0s,rate=0,tokens=20"},
              [](sim::settings& s) { s.fixed_time = true; });
    for (const char* target : {"/api/generate", "/api/chat", "/v1/chat/completions",
                               "/v1/responses", "/v1/messages", "/v1/completions"}) {
        CAPTURE(target);
        std::string body =
            "{\"model\":\"m\",\"prompt\":\"x\",\"input\":\"x\",\"max_tokens\":9,\"messages\":[{"
            "\"role\":"
            "\"user\",\"content\":\"hi\"}],\"stream\":true}";
        auto a = f.ask("POST", target, body), b = f.ask("POST", target, body);
        CHECK(a.status == 200);
        CHECK(a.complete);
        CHECK(a.head == b.head);
        CHECK(a.body == b.body);
        CHECK(a.chunks == b.chunks);
    }
}

TEST_CASE("the OpenAI streams end in a usage, when asked, and DONE within one flush")
{
    fixture f;
    auto r = f.ask("POST", "/v1/chat/completions",
                   "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                   "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    CHECK(r.field("Content-Type") == "text/event-stream");
    REQUIRE(r.chunks.size() == 6);
    CHECK(r.chunks[0].starts_with("data: {\"id\":\"chatcmpl-"));
    CHECK(r.chunks[0].ends_with("\n\n"));
    CHECK(r.chunks[5].find("\"finish_reason\":\"stop\"") != std::string::npos);
    CHECK(r.chunks[5].find("\"usage\":{\"prompt_tokens\"") != std::string::npos);
    CHECK(r.chunks[5].ends_with("data: [DONE]\n\n"));
    auto one = f.ask("POST", "/v1/chat/completions",
                     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    CHECK(one.field("Content-Type") == "application/json");
    CHECK(json::parse(one.body)["choices"][0]["message"]["role"] == "assistant");
    CHECK(one.body.back() == '\n');
    auto text = f.ask("POST", "/v1/completions", "{\"model\":\"m\",\"prompt\":\"x\"}");
    CHECK(json::parse(text.body)["object"] == "text_completion");
}

TEST_CASE("responses and messages stream named events to their ends")
{
    fixture f;
    auto responses =
        f.ask("POST", "/v1/responses", "{\"model\":\"m\",\"input\":\"x\",\"stream\":true}");
    CHECK(responses.field("Cache-Control") == "no-cache");
    CHECK(responses.chunks.front().starts_with("event: response.created\ndata: {"));
    CHECK(responses.chunks.back().starts_with("event: response.completed\ndata: {"));
    for (auto& chunk : responses.chunks)
        CHECK(json::accept(chunk.substr(chunk.find("data: ") + 6)));
    auto whole =
        json::parse(f.ask("POST", "/v1/responses", "{\"model\":\"m\",\"input\":\"x\"}").body);
    CHECK(whole["output"][0]["content"][0]["type"] == "output_text");

    std::string body =
        "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":"
        "\"x\"}]";
    auto messages = f.ask("POST", "/v1/messages", body + ",\"stream\":true}");
    CHECK(messages.chunks.front().starts_with("event: message_start\n"));
    CHECK(messages.chunks.back() == "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    for (auto& chunk : messages.chunks)
        CHECK(json::accept(chunk.substr(chunk.find("data: ") + 6)));
    CHECK(json::parse(f.ask("POST", "/v1/messages", body + "}").body)["stop_reason"] ==
          "max_tokens");
    CHECK(f.ask("POST", "/v1/messages/count_tokens", body + "}").status == 404);
}

TEST_CASE("embeddings are given one per input, by an embedding model or another")
{
    fixture f({"e,load=0s,prompt=0s,embedding,dim=3"});
    auto r = json::parse(
        f.ask("POST", "/api/embed", "{\"model\":\"e\",\"input\":[\"a\",\"b\",\"a\"]}").body);
    REQUIRE(r["embeddings"].size() == 3);
    CHECK(r["embeddings"][0].size() == 3);
    CHECK(r["embeddings"][0] == r["embeddings"][2]);
    CHECK(r["embeddings"][0] != r["embeddings"][1]);
    auto old =
        json::parse(f.ask("POST", "/api/embeddings", "{\"model\":\"e\",\"prompt\":\"a\"}").body);
    CHECK(old["embedding"].size() == 3);
    auto v1 = json::parse(f.ask("POST", "/v1/embeddings",
                                "{\"model\":\"e\",\"input\":\"a\",\"encoding_format\":\"base64\"}")
                              .body);
    CHECK(v1["data"][0]["embedding"].get<std::string>().size() == 16);
    CHECK(json::parse(
              f.ask("POST", "/api/embed", "{\"model\":\"e\",\"input\":\"\"}").body)["embeddings"]
              .empty());
    CHECK(f.ask("POST", "/api/chat", "{\"model\":\"e\",\"messages\":[{}]}").body ==
          "{\"error\":\"\\\"e\\\" does not support chat\"}");
}

TEST_CASE("refusals have Ollama's status and words")
{
    fixture f({"m,load=0s,tools=0"});
    struct row {
        const char* target;
        const char* body;
        int status;
        const char* answer;
    };
    for (auto& [target, body, status, answer] : std::vector<row>{
             {"/api/chat", "", 400, "{\"error\":\"missing request body\"}"},
             {"/api/chat", "x", 400,
              "{\"error\":\"invalid character 'x' looking for beginning of value\"}"},
             {"/api/chat", "{\"model\":", 400, "{\"error\":\"unexpected EOF\"}"},
             {"/api/chat", "{}", 400, "{\"error\":\"model is required\"}"},
             {"/api/generate", "{}", 404, "{\"error\":\"model '' not found\"}"},
             {"/api/generate", "{\"model\":\"no\"}", 404, "{\"error\":\"model 'no' not found\"}"},
             {"/api/generate", "{\"model\":\"a b\"}", 400, "{\"error\":\"invalid model name\"}"},
             {"/api/generate", "{\"model\":\"m\",\"keep_alive\":\"300\"}", 400,
              "{\"error\":\"time: missing unit in duration \\\"300\\\"\"}"},
             {"/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"options\":{\"num_ctx\":\"1\"}}",
              500, "{\"error\":\"option \\\"num_ctx\\\" must be of type integer\"}"},
             {"/api/generate", "{\"model\":5}", 400,
              "{\"error\":\"json: cannot unmarshal number into Go struct field "
              "GenerateRequest.model of "
              "type string\"}"},
             {"/api/chat", "{\"model\":\"m\",\"messages\":[{}],\"tools\":[{}]}", 400,
              "{\"error\":\"registry.ollama.ai/library/m:latest does not support tools\"}"},
             {"/api/embed", "{\"model\":\"no\",\"input\":\"x\"}", 404,
              "{\"error\":\"model \\\"no\\\" not found, try pulling it first\"}"},
             {"/v1/chat/completions", "", 400,
              "{\"error\":{\"message\":\"EOF\",\"type\":\"invalid_request_error\",\"param\":null,"
              "\"code\":"
              "null}}"},
             {"/v1/chat/completions", "{\"model\":\"m\",\"messages\":[]}", 400,
              "{\"error\":{\"message\":\"[] is too short - 'messages'\",\"type\":\"invalid_request_"
              "error\",\"param\":null,\"code\":null}}"},
             {"/v1/chat/completions", "{\"model\":\"no\",\"messages\":[{}]}", 404,
              "{\"error\":{\"message\":\"model 'no' not "
              "found\",\"type\":\"not_found_error\",\"param\":"
              "null,\"code\":null}}\n"},
         }) {
        CAPTURE(target, body);
        auto r = f.ask("POST", target, body);
        CHECK(r.status == status);
        CHECK(r.body == answer);
    }
    CHECK(f.ask("POST", "/api/chat", "x", "Content-Encoding: zstd\r\n").status == 400);
}

TEST_CASE("the router answers what has no handler as gin does")
{
    fixture f;
    auto none = f.ask("GET", "/api/nope");
    CHECK(none.status == 404);
    CHECK(none.body == "404 page not found");
    CHECK(none.field("Content-Type") == "text/plain");
    auto wrong = f.ask("GET", "/api/chat");
    CHECK(wrong.status == 405);
    CHECK(wrong.field("Allow") == "POST");
    CHECK(f.ask("HEAD", "/api/ps").status == 405);
    auto slash = f.ask("GET", "/api/tags/");
    CHECK(slash.status == 301);
    CHECK(slash.field("Location") == "/api/tags");
    CHECK(f.ask("POST", "/api/chat/").status == 307);
    CHECK(f.ask("GET", "//api/tags").status == 307);
    CHECK(f.ask("GET", "/api/tags", {}, "Origin: https://evil.example\r\n").status == 403);
    CHECK(f.ask("GET", "/api/tags", {}, "Origin: http://localhost:3000\r\n").status == 200);
    client foreign(f.port);
    foreign.send("GET /api/tags HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    auto r = foreign.read();
    CHECK(r.status == 403);
    CHECK(r.body.empty());
    client broken(f.port);
    broken.send("NONSENSE\r\n\r\n");
    CHECK(broken.read().status == 400);
    client nameless(f.port);
    nameless.send("GET / HTTP/1.1\r\n\r\n");
    CHECK(nameless.read().status == 400);
}

TEST_CASE("only the first JSON value of a native body counts, and /v1 understands zstd")
{
    fixture f;
    auto r = f.ask("POST", "/api/generate",
                   "{\"MODEL\":\"m\",\"stream\":false,\"prompt\":\"x\"} {\"rest\":");
    CHECK(r.status == 200);
    std::string plain = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    std::string packed(ZSTD_compressBound(plain.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 3));
    CHECK(f.ask("POST", "/v1/chat/completions", packed, "Content-Encoding: zstd\r\n").status ==
          200);
    CHECK(f.ask("POST", "/v1/chat/completions", "xx", "Content-Encoding: zstd\r\n").status == 400);
}

TEST_CASE("a connection serves one request after the other, pipelined ones too")
{
    fixture f;
    client c(f.port);
    for (int i = 0; i < 3; ++i) {
        c.request("POST", "/api/generate", "{\"model\":\"m\",\"prompt\":\"x\"}");
        CHECK(c.read().complete);
    }
    c.send("GET /api/version HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(c.read().status == 403);
    CHECK(c.read().body == "Ollama is running");
    c.request("GET", "/", {}, "Connection: close\r\n");
    auto last = c.read();
    CHECK(last.field("Connection") == "close");
    CHECK(c.ends(1000));
    CHECK(f.stats()["connections"]["accepted"] == 1);
}

TEST_CASE("a transcription takes a form")
{
    fixture f;
    std::string body =
        "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b\r\n"
        "Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n"
        "--b--\r\n";
    auto r = f.ask("POST", "/v1/audio/transcriptions", body,
                   "Content-Type: multipart/form-data; boundary=b\r\n");
    CHECK(r.status == 200);
    CHECK(json::parse(r.body)["text"].get<std::string>().size() > 3);
    CHECK(f.ask("POST", "/v1/audio/transcriptions", "{}").status == 400);
}

TEST_CASE("blobs are taken once, models are made, copied, pulled and deleted")
{
    fixture f({"m,load=0s,prompt=0s,rate=0"}, [](sim::settings& s) {
        s.registry.push_back(sim::parse_model("new:1b,pull=150ms").model);
    });
    std::string blob = "weights";
    auto hex = sim::sha256_hex(blob);
    CHECK(f.ask("HEAD", "/api/blobs/sha256:" + hex).status == 404);
    CHECK(f.ask("POST", "/api/blobs/sha256:" + hex, "other").status == 400);
    client chunked(f.port);
    chunked.send("POST /api/blobs/sha256:" + hex +
                 " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: "
                 "100-continue\r\n\r\n");
    CHECK(chunked.read(true).status == 100);
    chunked.send("3\r\nwei\r\n4\r\nghts\r\n0\r\n\r\n");
    CHECK(chunked.read().status == 201);
    CHECK(f.ask("HEAD", "/api/blobs/sha256:" + hex).status == 200);
    CHECK(f.ask("POST", "/api/blobs/nonsense", "x").body ==
          "{\"error\":\"invalid digest format\"}");
    // A blob that is there is answered without its body being read, and the connection ends.
    client early(f.port);
    early.send("POST /api/blobs/sha256-" + hex +
               " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\nbeginning");
    auto at_once = early.read();
    CHECK(at_once.status == 200);
    CHECK(at_once.field("Connection") == "close");

    auto made = f.ask("POST", "/api/create",
                      "{\"model\":\"tiny\",\"files\":{\"a.gguf\":\"sha256:" + hex + "\"}}");
    CHECK(made.body.ends_with("{\"status\":\"success\"}\n"));
    CHECK(
        f.ask("POST", "/api/create", "{\"name\":\"twin\",\"from\":\"m\",\"stream\":false}").body ==
        "{\"status\":\"success\"}");
    CHECK(f.ask("POST", "/api/copy", "{\"source\":\"m\",\"destination\":\"n\"}").status == 200);
    CHECK(f.ask("DELETE", "/api/delete", "{\"name\":\"n\"}").status == 200);
    CHECK(f.ask("DELETE", "/api/delete", "{\"name\":\"n\"}").status == 404);
    auto pulled = f.ask("POST", "/api/pull", "{\"name\":\"new:1b\"}");
    CHECK(pulled.chunks.size() >= 6);
    CHECK(pulled.chunks.front() == "{\"status\":\"pulling manifest\"}\n");
    CHECK(pulled.chunks.back() == "{\"status\":\"success\"}\n");
    auto unknown = f.ask("POST", "/api/pull", "{\"model\":\"unknown\"}");
    CHECK(unknown.status == 200);
    CHECK(unknown.chunks.back() == "{\"error\":\"pull model manifest: file does not exist\"}\n");
    CHECK(f.ask("POST", "/api/generate", "{\"model\":\"tiny\"}").status == 200);
    CHECK(f.loaded("tiny:latest"));
}
