// What the pieces of an answer say, in Ollama's own forms, whole and however they are cut.
#include "stream/reader.hpp"

#include "catch.hpp"

#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace gateway;

namespace {

struct verdict {
    bool complete;
    bool error;
    std::string text;
    bool at_end;
    bool mid_record;
    std::uint64_t prompt;
    std::uint64_t completion;
    std::uint64_t records;
    std::optional<duration> ran;
    bool operator==(const verdict&) const = default;
};

verdict verdict_of(const stream_reader& r)
{
    return {r.complete(),
            r.error_seen(),
            r.error_text(),
            r.at_end(),
            r.mid_record(),
            r.told().tokens.prompt_tokens,
            r.told().tokens.completion_tokens,
            r.records(),
            r.told().ran};
}

verdict read(framing f, endpoint e, std::string_view text)
{
    stream_reader r(f, e);
    r.feed(text);
    return verdict_of(r);
}

void same_however_cut(framing f, endpoint e, std::string_view text)
{
    auto whole = read(f, e, text);
    stream_reader bytewise(f, e);
    for (char c : text) {
        bytewise.feed({&c, 1});
    }
    CHECK(verdict_of(bytewise) == whole);
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
        stream_reader r(f, e);
        r.feed(text.substr(0, cut));
        r.feed(text.substr(cut));
        INFO("cut at " << cut);
        REQUIRE(verdict_of(r) == whole);
    }
}

const std::string native_chunk =
    R"({"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"hi"},"done":false})"
    "\n";
const std::string native_last =
    R"({"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":5,"prompt_eval_count":11,"prompt_eval_duration":3,"eval_count":22,"eval_duration":9})"
    "\n";
const std::string openai_chunk =
    R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":null}]})"
    "\n\n";
const std::string openai_usage =
    R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}})"
    "\n\n";
const std::string done_event = "data: [DONE]\n\n";

}  // namespace

TEST_CASE("a native stream is complete with a top-level done:true and nothing else")
{
    struct row {
        std::string line;
        bool complete;
    };
    const std::vector<row> rows = {
        {R"({"done":true})", true},
        {R"({"done" : true , "x":1})", true},
        {R"({"response":"","done":true,"context":[1,2,3]})", true},
        {R"({"a":{"b":[1,"}",{}]},"done":true})", true},
        {R"({"a":"\\","done":true})", true},
        {R"({"a":"\\\"","done":true})", true},
        {R"( {"done":true} )", true},
        {R"({"done":false})", false},
        {R"({"done":null})", false},
        {R"({"done":"true"})", false},
        {R"({"done":truex})", false},
        {R"({"done":1})", false},
        {R"({"message":{"tool_calls":[{"function":{"arguments":{"done":true}}}]},"done":false})",
         false},
        {R"({"message":{"tool_calls":[{"function":{"arguments":{"done":true}}}]}})", false},
        {R"({"message":{"content":"\"done\":true"},"done":false})", false},
        {R"({"message":{"content":"{\"done\":true}"}})", false},
        {R"({"response":"\"done\":true,","done":false,"logprobs":[{"done":true}]})", false},
        {R"({"logprobs":[],"done":true,"done":false})", false},
        {R"({"done":true)", false},
        {R"({"done":true}})", false},
        {R"({"done":true} {"done":false})", false},
        {R"([{"done":true}])", false},
        {R"("done":true)", false},
        {R"({"x":"unclosed,"done":true})", false},
        {R"(data: {"done":true})", false},
        {"{\"done\":tr\xff}", false},
        {std::string("{\"done\":\0true}", 14), false},
        {std::string(100'000, '[') + R"("done")", false},
        {R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + R"(,"done":true})",
         true},
    };
    for (const auto& row : rows) {
        INFO(row.line.substr(0, 200));
        for (auto e : {endpoint::chat, endpoint::generate}) {
            auto v = read(framing::ndjson, e, native_chunk + row.line + "\n");
            CHECK(v.complete == row.complete);
            CHECK(v.at_end == row.complete);
            CHECK_FALSE(v.error);
            CHECK(v.records == 2);
        }
        if (row.line.size() < 300) {
            same_however_cut(framing::ndjson, endpoint::chat, native_chunk + row.line + "\n");
        }
    }
}

TEST_CASE("the final native record tells the tokens")
{
    auto v = read(framing::ndjson, endpoint::chat, native_chunk + native_chunk + native_last);
    CHECK(v.complete);
    CHECK(v.at_end);
    CHECK(v.prompt == 11);
    CHECK(v.completion == 22);
    CHECK(v.records == 3);
    same_however_cut(framing::ndjson, endpoint::chat, native_chunk + native_last);
}

TEST_CASE("members that are named nearly like the ones that count say nothing")
{
    for (const char* name : {"dome", "Done", "d\\u006fne", "usagf", "messagE", "responsf",
                             "eval_counT", "Eval_duration", "prompt_eval_counts", ""}) {
        INFO(name);
        stream_reader r(framing::one_piece, endpoint::chat);
        r.feed("{\"" + std::string(name) + "\":7,\"eval_count\":2,\"prompt_eval_count\":3}");
        CHECK(r.told().tokens.prompt_tokens == 3);
        CHECK(r.told().tokens.completion_tokens == 2);
        CHECK_FALSE(r.told().ran);
    }
}

TEST_CASE("lines may end in CRLF and blank ones count for nothing")
{
    std::string crlf;
    for (char c : "\n" + native_chunk + "\n \n" + native_last) {
        crlf += c == '\n' ? "\r\n" : std::string(1, c);
    }
    auto v = read(framing::ndjson, endpoint::chat, crlf);
    CHECK(v.complete);
    CHECK(v.records == 2);
    same_however_cut(framing::ndjson, endpoint::chat, crlf);
}

TEST_CASE("the end is not at the end of a piece that goes on")
{
    stream_reader r(framing::ndjson, endpoint::chat);
    r.feed(native_last + "{");
    CHECK(r.complete());
    CHECK_FALSE(r.at_end());
    CHECK(r.mid_record());

    stream_reader other(framing::ndjson, endpoint::chat);
    other.feed(native_last + native_chunk);
    CHECK(other.complete());
    CHECK_FALSE(other.at_end());
}

TEST_CASE("a last native record without a newline counts once the body has ended")
{
    auto last = native_last.substr(0, native_last.size() - 1);
    stream_reader r(framing::ndjson, endpoint::chat);
    r.feed(native_chunk + last);
    CHECK_FALSE(r.complete());
    r.finish();
    CHECK(r.complete());
    CHECK(r.at_end());
    CHECK(r.told().tokens.completion_tokens == 22);

    stream_reader cut(framing::ndjson, endpoint::chat);
    cut.feed(native_chunk + last.substr(0, last.size() - 1));
    cut.finish();
    CHECK_FALSE(cut.complete());
}

TEST_CASE("Ollama's own error line ends a native stream")
{
    auto v = read(framing::ndjson, endpoint::chat,
                  native_chunk + R"({"error":"an error was \"encountered\": \u00e4"})"
                                 "\n");
    CHECK(v.complete);
    CHECK(v.error);
    CHECK(v.at_end);
    CHECK(v.text == "an error was \"encountered\": \xc3\xa4");

    for (const char* no_error :
         {R"({"message":{"error":"x"}})", R"({"error":null,"done":false,"x":1})",
          R"({"message":{"content":"\"error\":\"x\""}})", R"({"error":false})"}) {
        INFO(no_error);
        CHECK_FALSE(read(framing::ndjson, endpoint::chat, no_error + std::string("\n")).error);
    }
    v = read(framing::ndjson, endpoint::chat,
             R"({"error":")" + std::string(100'000, 'e') + "\"}\n");
    CHECK(v.error);
    CHECK(v.text.size() == 4096);
}

TEST_CASE("a final record with megabytes of context is read across pieces")
{
    std::string line = R"({"model":"m","response":"","done":true,"context":[1)";
    while (line.size() < 12 * 1024 * 1024) {
        line += ",128000,17,42";
    }
    line += R"(],"prompt_eval_count":7,"eval_count":8})"
            "\n";
    stream_reader r(framing::ndjson, endpoint::generate);
    for (std::size_t at = 0; at < line.size(); at += 16 * 1024) {
        CHECK_FALSE(r.complete());
        r.feed(std::string_view(line).substr(at, 16 * 1024));
    }
    CHECK(r.complete());
    CHECK(r.at_end());
    CHECK(r.told().tokens.prompt_tokens == 7);
    CHECK(r.told().tokens.completion_tokens == 8);
}

TEST_CASE("a line longer than can be kept is passed over, and the next one is read")
{
    std::string piece(1024 * 1024, 'x');
    stream_reader r(framing::ndjson, endpoint::chat);
    for (int i = 0; i < 40; ++i) {
        r.feed(piece);
        CHECK(r.mid_record());
    }
    r.feed("\n" + native_last);
    CHECK(r.complete());
    CHECK(r.at_end());
    CHECK(r.records() == 2);
}

TEST_CASE("an OpenAI stream is complete with [DONE] and its blank line, and no sooner")
{
    auto v =
        read(framing::sse, endpoint::chat_completions, openai_chunk + openai_usage + done_event);
    CHECK(v.complete);
    CHECK(v.at_end);
    CHECK_FALSE(v.error);
    CHECK(v.prompt == 11);
    CHECK(v.completion == 22);
    CHECK(v.records == 3);
    same_however_cut(framing::sse, endpoint::chat_completions,
                     openai_chunk + openai_usage + done_event);
    same_however_cut(framing::sse, endpoint::completions, "data: [DONE]\r\n\r\n");

    v = read(framing::sse, endpoint::chat_completions, openai_chunk + "data: [DONE]\n");
    CHECK_FALSE(v.complete);
    CHECK(v.mid_record);
    // Ollama swallows its errors here: an empty chunk, a clean end, no [DONE].
    v = read(framing::sse, endpoint::chat_completions, openai_chunk + openai_chunk);
    CHECK_FALSE(v.complete);
    CHECK_FALSE(v.mid_record);

    CHECK(read(framing::sse, endpoint::completions, "data:[DONE]\n\n").complete);
    CHECK_FALSE(read(framing::sse, endpoint::completions, ": data: [DONE]\n\n").complete);
    CHECK_FALSE(read(framing::sse, endpoint::completions, "data: \"[DONE]\"\n\n").complete);
    CHECK_FALSE(read(framing::sse, endpoint::completions, "[DONE]\n\n").complete);
}

TEST_CASE("an error event ends an OpenAI stream")
{
    auto v =
        read(framing::sse, endpoint::chat_completions,
             openai_chunk + "data: {\"error\":{\"message\":\"boom\",\"type\":\"api_error\"}}\n\n");
    CHECK(v.complete);
    CHECK(v.error);
    CHECK(v.text == "boom");
    v = read(framing::sse, endpoint::chat_completions,
             "event: error\ndata: {\"message\":\"x\",\"type\":\"error\"}\n\n");
    CHECK(v.error);
    CHECK(v.text == "x");
    v = read(framing::sse, endpoint::chat_completions,
             R"(data: {"choices":[{"delta":{"content":"\"error\""}}],"error":null})"
             "\n\n");
    CHECK_FALSE(v.error);
    v = read(
        framing::sse, endpoint::chat_completions,
        R"(data: {"choices":[{"delta":{"tool_calls":[{"error":"x"}]},"finish_reason":"tool_calls"}]})"
        "\n\n");
    CHECK_FALSE(v.error);
}

TEST_CASE("a responses stream ends with completed, incomplete or failed")
{
    std::string delta =
        "event: response.output_text.delta\ndata: "
        "{\"type\":\"response.output_text.delta\",\"delta\":\"response.completed\"}\n\n";
    auto end = [](std::string name, std::string error = "null") {
        return "event: " + name + "\ndata: {\"type\":\"" + name +
               R"(","response":{"id":"r","error":)" + error +
               R"(,"usage":{"input_tokens":11,"input_tokens_details":{"cached_tokens":9},"output_tokens":22,"total_tokens":33}}})"
               "\n\n";
    };
    for (const char* name : {"response.completed", "response.incomplete"}) {
        auto v = read(framing::sse, endpoint::responses, delta + end(name));
        CHECK(v.complete);
        CHECK(v.at_end);
        CHECK_FALSE(v.error);
        CHECK(v.prompt == 11);
        CHECK(v.completion == 22);
        CHECK(v.records == 2);
        same_however_cut(framing::sse, endpoint::responses, delta + end(name));
    }
    auto v = read(framing::sse, endpoint::responses,
                  delta + end("response.failed", R"({"code":"x","message":"gone"})"));
    CHECK(v.complete);
    CHECK(v.error);
    CHECK(v.text == "gone");
    v = read(framing::sse, endpoint::responses,
             "event: error\ndata: {\"type\":\"error\",\"message\":\"bad\"}\n\n");
    CHECK(v.complete);
    CHECK(v.error);
    CHECK(v.text == "bad");

    CHECK_FALSE(read(framing::sse, endpoint::responses, delta + done_event).complete);
    CHECK_FALSE(read(framing::sse, endpoint::responses, "event: response.completed\n\n").complete);
    // Some leave the name to the data.
    CHECK(read(framing::sse, endpoint::responses, "data: {\"type\":\"response.completed\"}\n\n")
              .complete);
    CHECK_FALSE(read(framing::sse, endpoint::responses,
                     "data: {\"a\":{\"type\":\"response.completed\"}}\n\n")
                    .complete);
    // A name is its own event's, not the next one's.
    CHECK_FALSE(read(framing::sse, endpoint::responses, "event: response.completed\n\ndata: {}\n\n")
                    .complete);
}

TEST_CASE("a messages stream ends with message_stop and tells its tokens in two events")
{
    std::string start = R"(event: message_start
data: {"type":"message_start","message":{"id":"msg","usage":{"input_tokens":11,"output_tokens":0}}}

)";
    std::string ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    std::string delta = R"(event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"output_tokens":22}}

)";
    std::string stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    auto v = read(framing::sse, endpoint::messages, start + ping + delta + stop);
    CHECK(v.complete);
    CHECK(v.at_end);
    CHECK(v.prompt == 11);
    CHECK(v.completion == 22);
    CHECK(v.records == 4);
    same_however_cut(framing::sse, endpoint::messages, start + ping + delta + stop);
    CHECK_FALSE(read(framing::sse, endpoint::messages, start + delta).complete);

    v = read(framing::sse, endpoint::messages,
             "event: error\ndata: "
             "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"no\"}}\n\n");
    CHECK(v.complete);
    CHECK(v.error);
    CHECK(v.text == "no");
}

TEST_CASE("a one-piece answer tells its tokens however long it is")
{
    struct row {
        endpoint e;
        std::string before;
        std::string after;
    };
    const std::vector<row> rows = {
        {endpoint::chat, R"({"message":{"content":")",
         R"("},"done":true,"prompt_eval_count":11,"eval_count":22})"},
        {endpoint::embed, R"({"model":"m","embeddings":[[")",
         R"("]],"prompt_eval_count":11,"eval_count":22})"},
        {endpoint::chat_completions, R"({"choices":[{"message":{"content":")",
         R"("}}],"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}})"
         "\n"},
        {endpoint::messages, R"({"content":[{"text":")",
         R"("}],"usage":{"input_tokens":11,"output_tokens":22}})"},
    };
    for (const auto& row : rows) {
        for (std::size_t size : {10, 1000, 9000, 100'000, 262'000, 300'000, 3'000'000}) {
            auto body = row.before + std::string(size, 'x') + row.after;
            for (std::size_t cut : {std::size_t{1000}, std::size_t{16 * 1024}, body.size()}) {
                for (const bool stays : {false, true}) {  // the last piece
                    INFO(name(row.e) << ' ' << size << " cut " << cut << ' ' << stays);
                    stream_reader r(framing::one_piece, row.e);
                    for (std::size_t at = 0; at < body.size(); at += cut) {
                        r.feed(std::string_view(body).substr(at, cut),
                               stays && at + cut >= body.size());
                    }
                    r.finish();
                    CHECK(r.told().tokens.prompt_tokens == 11);
                    CHECK(r.told().tokens.completion_tokens == 22);
                    CHECK_FALSE(r.complete());
                }
            }
        }
    }
    // Where it is not at the end.
    auto v = read(framing::one_piece, endpoint::responses,
                  R"({"usage":{"input_tokens":11,"output_tokens":22},"output":")" +
                      std::string(200'000, 'x') + "\"}");
    CHECK(v.prompt == 11);
    v = read(framing::one_piece, endpoint::chat, "not json \"usage\"");
    CHECK(v.prompt == 0);
    v = read(framing::one_piece, endpoint::chat,
             R"({"prompt_eval_count":99999999999999999999,"eval_count":-1})");
    CHECK(v.prompt == 0);
    CHECK(v.completion == 0);
}

TEST_CASE("a text that quotes usage keys is not taken for the usage of a long answer")
{
    auto body =
        R"({"choices":[{"message":{"content":")" + std::string(300'000, 'x') +
        R"("}}],"usage":{"prompt_tokens":11,"completion_tokens":22},"note":"\"usage\":{\"prompt_tokens\":5}"})";
    auto v = read(framing::one_piece, endpoint::chat_completions, body);
    CHECK(v.prompt == 11);
    CHECK(v.completion == 22);
}

TEST_CASE("random answers in random pieces read as they do whole")
{
    std::mt19937 random(99);
    auto pick = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n)(random);
    };
    const std::vector<std::string> parts = {native_chunk,
                                            native_last,
                                            openai_chunk,
                                            openai_usage,
                                            done_event,
                                            "\n",
                                            "\r\n",
                                            "{",
                                            "data: ",
                                            "event: response.completed\n",
                                            "event: message_stop\r\n",
                                            "data: {}\n\n",
                                            ": comment\n\n",
                                            "{\"error\":\"x\"}\n",
                                            "data: {\"error\":{}}\n",
                                            "\"done\":true",
                                            "}",
                                            "\"",
                                            "\\"};
    const endpoint endpoints[] = {endpoint::chat, endpoint::chat_completions, endpoint::responses,
                                  endpoint::messages};
    for (int round = 0; round < 3000; ++round) {
        std::string text;
        for (auto n = 1 + pick(8); n > 0; --n) {
            text += parts[pick(parts.size() - 1)];
        }
        auto f = static_cast<framing>(pick(2));
        auto e = endpoints[pick(3)];
        stream_reader r(f, e);
        for (std::size_t at = 0; at < text.size();) {
            auto n = 1 + pick(40);
            r.feed(std::string_view(text).substr(at, n));
            at += n;
        }
        INFO(text);
        REQUIRE(verdict_of(r) == read(f, e, text));
    }
}
