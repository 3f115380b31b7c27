// The pure parts of the simulated Ollama: Go's texts, Go's JSON, HTTP framing, wishes, faults.
#include "bench/sim/dialect.hpp"
#include "bench/sim/faults.hpp"
#include "bench/sim/http.hpp"
#include "bench/sim/model.hpp"
#include "bench/sim/request_body.hpp"
#include "bench/sim/wishes.hpp"
#include "catch.hpp"

using namespace sim;
using std::chrono::milliseconds;

TEST_CASE("durations are parsed as time.ParseDuration does it, with its errors")
{
    struct row {
        const char* text;
        duration value;
        const char* error;
    };
    for (auto& [text, value, error] : std::vector<row>{
             {"5m", std::chrono::minutes(5), ""},
             {"1h30m", std::chrono::minutes(90), ""},
             {"0", {}, ""},
             {"0s", {}, ""},
             {"-1m", -std::chrono::minutes(1), ""},
             {"1.5s", milliseconds(1500), ""},
             {".5s", milliseconds(500), ""},
             {"300", {}, "time: missing unit in duration \"300\""},
             {"-1", {}, "time: missing unit in duration \"-1\""},
             {"", {}, "time: invalid duration \"\""},
             {"1d", {}, "time: unknown unit \"d\" in duration \"1d\""},
             {"s", {}, "time: invalid duration \"s\""},
             {"9999999999h", {}, "time: invalid duration \"9999999999h\""},
         }) {
        CAPTURE(text);
        auto parsed = parse_go_duration(text);
        CHECK(parsed.error == error);
        CHECK(parsed.value == value);
    }
}

TEST_CASE("times and strings are written as Go writes them")
{
    std::string t;
    append_rfc3339(t, {1767225600, 123456000});
    CHECK(t == "2026-01-01T00:00:00.123456Z");
    t.clear();
    append_rfc3339(t, {951782400, 0});
    CHECK(t == "2000-02-29T00:00:00Z");
    CHECK(http_date(1767225600) == "Thu, 01 Jan 2026 00:00:00 GMT");
    CHECK(go_escaped("<a>&\"\\\n\x01é") == "\\u003ca\\u003e\\u0026\\\"\\\\\\n\\u0001é");
    CHECK(go_escaped("\xff") == "\\ufffd");
    CHECK(go_escaped("\xE2\x80\xA8") == "\\u2028");
    CHECK(native_error("a<b") == "{\"error\":\"a\\u003cb\"}");
}

TEST_CASE("JSON keys are matched without case and the last of two wins")
{
    auto parsed = parse_go_json(
        "{\"MODEL\":\"a\",\"model\":\"b\",\"\xE2\x84\xAA"
        "eep_alive\":0,\"\xC5\xBFtream\":true,\"stream\":false}");
    REQUIRE(parsed.error.empty());
    CHECK(member(parsed.value, "model") == json("b"));
    CHECK(member(parsed.value, "keep_alive") == json(0));
    CHECK(member(parsed.value, "stream") == json(false));
    CHECK(parse_go_json("{\"model\":\"b\",\"Model\":\"a\"}").value["model"] == json("a"));
}

TEST_CASE("only the first JSON value is read, and Go's errors are told")
{
    CHECK(parse_go_json("{\"a\":1}{\"a\":2} x").value == json({{"a", 1}}));
    CHECK(parse_go_json("{\"a\":1}\n").error.empty());
    CHECK(parse_go_json("").error == "EOF");
    CHECK(parse_go_json(" \n").error == "EOF");
    CHECK(parse_go_json("{\"a\":").error == "unexpected EOF");
    CHECK(parse_go_json("x").error == "invalid character 'x' looking for beginning of value");
    CHECK(parse_go_json("{x").error ==
          "invalid character 'x' looking for beginning of object key string");
    CHECK(parse_go_json(std::string(9000, '[')).error == "unexpected EOF");
    CHECK(parse_go_json(std::string(20000, '[') + std::string(20000, ']')).error ==
          "exceeded max depth");
}

TEST_CASE("the end of the first value is found whatever the pieces")
{
    std::string text = " {\"a\":\"}\\\"\",\"b\":[1,{}]} tail";
    auto end = text.find(" tail");
    for (std::size_t step = 1; step < text.size(); ++step) {
        first_value v;
        std::size_t complete_after = 0;
        for (std::size_t i = 0; i < text.size() && !v.complete(); i += step) {
            v.feed(std::string_view(text).substr(i, step));
            complete_after = std::min(i + step, text.size());
        }
        REQUIRE(v.complete());
        CHECK(v.length() == end);
        CHECK(complete_after >= end);
        CHECK(complete_after < end + step);
    }
}

TEST_CASE("keep_alive is parsed as api/types.go does it")
{
    auto read = [](const char* text) {
        std::optional<duration> out;
        auto wrong = read_keep_alive(json::parse(text), out);
        return std::pair{out, wrong.message};
    };
    CHECK(read("null").first == std::nullopt);
    CHECK(read("0").first == duration::zero());
    CHECK(read("2.5").first == milliseconds(2500));
    CHECK(read("-1").first == forever);
    CHECK(read("1e300").first == forever);
    CHECK(read("\"10m\"").first == std::chrono::minutes(10));
    CHECK(read("\"-1m\"").first == forever);
    CHECK(read("\"300\"").second == "time: missing unit in duration \"300\"");
    CHECK(read("true").second == "Unsupported type: 'bool'");
}

TEST_CASE("load-time options differ when a value does, not when an option is unknown")
{
    model_spec model;
    model.context = 8192;
    auto read = [&](const char* text) {
        wishes w;
        auto wrong = read_options(json::parse(text), 4096, model, w);
        return wrong ? wrong.message : w.load_options + std::to_string(w.context);
    };
    CHECK(read("{}") == "4096");
    CHECK(read("{\"options\":{\"temperature\":1,\"nope\":[]}}") == "4096");
    CHECK(read("{\"options\":{\"num_ctx\":2048}}") == "num_ctx=2048;2048");
    CHECK(read("{\"options\":{\"num_ctx\":99999}}") == "num_ctx=8192;8192");
    CHECK(read("{\"shift\":false}") == "shift=0;4096");
    CHECK(read("{\"shift\":true}") == "4096");
    CHECK(read("{\"options\":{\"num_ctx\":\"x\"}}") ==
          "option \"num_ctx\" must be of type integer");
    CHECK(read("{\"options\":{\"use_mmap\":1}}") == "option \"use_mmap\" must be of type boolean");
    // Ollama's own values, named.
    CHECK(read("{\"options\":{\"num_ctx\":4096,\"num_batch\":512,\"num_gpu\":-1,\"num_thread\":0,"
               "\"draft_num_predict\":0,\"main_gpu\":null}}") == "4096");
    CHECK(read("{\"options\":{\"num_gpu\":-7}}") == "4096");
    CHECK(read("{\"options\":{\"main_gpu\":0}}") == "main_gpu=0;4096");
    CHECK(read("{\"options\":{\"use_mmap\":true}}") == "use_mmap=1;4096");
    // Those of the Modelfile hold for who does not say otherwise.
    model.parameters = {{"num_ctx", 6000}, {"num_gpu", 20}};
    CHECK(read("{}") == "num_ctx=6000;num_gpu=20;6000");
    CHECK(read("{\"options\":{\"num_ctx\":6000}}") == "num_ctx=6000;num_gpu=20;6000");
    CHECK(read("{\"options\":{\"num_ctx\":4096,\"num_gpu\":-1}}") == "4096");
}

TEST_CASE("names are compared as Ollama compares them")
{
    CHECK(canonical_name("Llama3") == "llama3:latest");
    CHECK(canonical_name(" library/llama3:8B ") == "llama3:8b");
    CHECK(canonical_name("registry.ollama.ai/library/m") == "m:latest");
    CHECK(canonical_name("hf.co/user/m:q4") == "hf.co/user/m:q4");
    CHECK(canonical_name("").empty());
    CHECK(canonical_name("a b").empty());
    CHECK(canonical_name("m:").empty());
}

TEST_CASE("a body's framing is decoded whatever the pieces")
{
    auto head =
        parse_request_head("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    REQUIRE(head);
    std::string wire =
        "4\r\nWiki\r\n6;ext=1\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nT: v\r\n\r\nNEXT";
    for (std::size_t step = 1; step <= wire.size(); ++step) {
        body_decoder d;
        REQUIRE(d.start(*head));
        std::string in, out;
        for (std::size_t i = 0; i < wire.size(); i += step) {
            in += wire.substr(i, step);
            d.take(in, out);
        }
        CHECK(d.done());
        CHECK(out == "Wikipedia in \r\n\r\nchunks.");
        CHECK(in == "NEXT");
    }
    body_decoder bad;
    REQUIRE(bad.start(*head));
    std::string in = "zz\r\n", out;
    bad.take(in, out);
    CHECK(bad.bad());
}

TEST_CASE("faults strike as often as they were told to, and only what they were told to")
{
    fault_table t;
    REQUIRE(t.add(std::string_view("qwen2.5:14b:silent_head:2,ms=5")).empty());
    REQUIRE(t.add(std::string_view("*:status,path=/api/tags,status=503")).empty());
    CHECK(!t.add(std::string_view("m:nonsense")).empty());
    CHECK(!t.add(std::string_view("nonsense")).empty());
    CHECK(!t.take(fault_stage::run, "llama3:latest", "/api/chat", true));
    CHECK(t.take(fault_stage::run, "qwen2.5:14b", "/api/chat", true)->ms == 5);
    CHECK(t.take(fault_stage::run, "qwen2.5:14b", "/api/chat", true));
    CHECK(!t.take(fault_stage::run, "qwen2.5:14b", "/api/chat", true));
    CHECK(!t.take(fault_stage::before, "x", "/api/chat", true));
    for (int i = 0; i < 3; ++i)
        CHECK(t.take(fault_stage::before, "x", "/api/tags", false)->status == 503);
}

TEST_CASE("a form's parts are found by name")
{
    auto form =
        parse_form("multipart/form-data; boundary=xx",
                   "--xx\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n"
                   "--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n"
                   "Content-Type: audio/wav\r\n\r\nRI\r\nFF\r\n--xx--\r\n");
    REQUIRE(form);
    CHECK((*form)["model"] == "m");
    CHECK((*form)["file"] == "RI\r\nFF");
    CHECK(!parse_form("application/json", "{}"));
    CHECK(!parse_form("multipart/form-data; boundary=xx", "--xx\r\nbroken"));
}
