// How long the model worked on an answer, by Ollama's own account.
#include "stream/reader.hpp"

#include "catch.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace gateway;

namespace {

const std::string chunk = R"({"model":"m","message":{"content":"hi"},"done":false})"
                          "\n";
const std::string last =
    R"({"done":true,"total_duration":50,"prompt_eval_count":11,"prompt_eval_duration":3,"eval_count":22,"eval_duration":9})"
    "\n";

std::optional<duration> read(framing f, endpoint e, std::string_view text,
                             std::size_t cut = std::string_view::npos)
{
    stream_reader r(f, e);
    for (; !text.empty(); text.remove_prefix(std::min(cut, text.size()))) {
        r.feed(text.substr(0, cut));
    }
    r.finish();
    return r.told().ran;
}

}  // namespace

TEST_CASE("the final native record tells how long the model worked")
{
    using std::chrono::nanoseconds;
    CHECK(read(framing::ndjson, endpoint::chat, chunk + last) == nanoseconds(12));

    struct row {
        std::string members;
        std::optional<duration> ran;
    };
    const std::vector<row> rows = {
        {R"("prompt_eval_duration":1500000000,"eval_duration":2500000000)",
         nanoseconds(4'000'000'000)},
        {R"("eval_duration":7)", nanoseconds(7)},  // the prompt was cached
        {R"("prompt_eval_duration":7)", nanoseconds(7)},
        {R"("eval_duration":0)", nanoseconds(0)},
        {R"("total_duration":7,"load_duration":8)", std::nullopt},
        {R"("eval_duration":"7")", std::nullopt},
        {R"("eval_duration":-7)", std::nullopt},
        {R"("eval_duration":7.5)", std::nullopt},
        {R"("eval_duration":9000000000000000000,"prompt_eval_duration":9000000000000000000)",
         std::nullopt},
        {R"("message":{"eval_duration":7})", std::nullopt},
        {R"("usage":{"eval_duration":7})", std::nullopt},
    };
    for (const auto& row : rows) {
        INFO(row.members);
        const auto line = R"({"done":true,)" + row.members + "}\n";
        CHECK(read(framing::ndjson, endpoint::chat, chunk + line) == row.ran);
        CHECK(read(framing::one_piece, endpoint::generate, line) == row.ran);
        CHECK(read(framing::ndjson, endpoint::chat, chunk + line, 1) == row.ran);
        // Only the final record counts.
        const auto no_end = R"({"done":false,)" + row.members + "}\n";
        CHECK_FALSE(read(framing::ndjson, endpoint::chat, no_end));
    }
    // Of a long one only the end is kept.
    for (std::size_t size : {1000, 300'000}) {
        const auto body =
            R"({"response":")" + std::string(size, 'x') +
            R"(","done":true,"prompt_eval_duration":3,"eval_count":22,"eval_duration":9})";
        CHECK(read(framing::one_piece, endpoint::generate, body) == nanoseconds(12));
    }
    CHECK_FALSE(
        read(framing::sse, endpoint::chat_completions,
             "data: {\"choices\":[],\"eval_duration\":5,\"usage\":{\"prompt_tokens\":1}}\n\n"
             "data: [DONE]\n\n"));
    CHECK_FALSE(
        read(framing::one_piece, endpoint::embed, R"({"embeddings":[],"total_duration":9})"));
}

TEST_CASE("so many tokens as no answer has are none")
{
    const auto told = [](framing how, endpoint where, const std::string& answer) {
        stream_reader r(how, where);
        r.feed(answer);
        r.finish();
        return r.told().tokens;
    };
    for (const char* many :
         {"1099511627777", "9223372036854775808", "18446744073709551615", "99999999999999999999"}) {
        INFO(many);
        const auto native = std::string(R"({"done":true,"prompt_eval_count":)") + many +
                            R"(,"eval_count":)" + many + "}\n";
        for (auto how : {framing::ndjson, framing::one_piece}) {
            const auto tokens = told(how, endpoint::chat, native);
            CHECK(tokens.prompt_tokens == 0);
            CHECK(tokens.completion_tokens == 0);
        }
        const auto openai = std::string(R"(data: {"usage":{"prompt_tokens":)") + many +
                            R"(,"completion_tokens":22}})" + "\n\n";
        const auto tokens = told(framing::sse, endpoint::chat_completions, openai);
        CHECK(tokens.prompt_tokens == 0);
        CHECK(tokens.completion_tokens == 22);
    }
    const std::string most = R"({"done":true,"eval_count":1099511627776})";
    CHECK(told(framing::one_piece, endpoint::chat, most).completion_tokens == 1099511627776);
}
