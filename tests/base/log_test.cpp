// The lines of the log, byte for byte, as standard error gets them.
#include "base/log.hpp"
#include "base/text.hpp"
#include "catch.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <regex>
#include <string>

using namespace gateway;
using std::chrono::microseconds;

namespace {

// Standard error is a pipe of the test's own for as long as this lives.
class caught_stderr {
public:
    caught_stderr() : before_(::dup(STDERR_FILENO))
    {
        REQUIRE(::pipe2(pipe_.data(), O_NONBLOCK) == 0);
        REQUIRE(::dup2(pipe_[1], STDERR_FILENO) == STDERR_FILENO);
    }
    ~caught_stderr()
    {
        log::flush();
        ::dup2(before_, STDERR_FILENO);
        log::open("info", "text");
        for (int fd : {before_, pipe_[0], pipe_[1]})
            ::close(fd);
    }

    // What was written since the last time.
    std::string text() const
    {
        std::string all;
        std::array<char, 4096> some;
        for (ssize_t n; (n = ::read(pipe_[0], some.data(), some.size())) > 0;)
            all.append(some.data(), std::size_t(n));
        return all;
    }

private:
    int before_;
    std::array<int, 2> pipe_{};
};

// The line without the time it begins with, which is of this form.
std::string after_time(const std::string& line, const std::string& form)
{
    std::smatch found;
    INFO(line);
    REQUIRE(std::regex_search(line, found, std::regex(form)));
    REQUIRE(found.position() == 0);
    return found.suffix();
}

const std::string utc = R"(\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00",)";
const std::string local = R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} )";

}  // namespace

TEST_CASE("a line of the log has its bytes, as text and as JSON")
{
    caught_stderr caught;
    const auto written = [&](log::items fields, const char* format) {
        log::open("info", format);
        log::info("said", fields);
        log::flush();
        return caught.text();
    };
    const auto check = [&](log::items fields, const std::string& text, const std::string& json) {
        CHECK(after_time(written(fields, "text"), local) == "info said" + text + "\n");
        CHECK(after_time(written(fields, "json"), utc) ==
              R"("level":"info","message":"said")" + json + "}\n");
    };
    check({}, "", "");
    check({{"a", "word"}, {"b", "two words"}}, R"( a=word b="two words")",
          R"(,"a":"word","b":"two words")");
    check({{"a", ""}, {"b", std::string_view()}}, R"( a="" b="")", R"(,"a":"","b":"")");
    check({{"a", "x=1"}, {"b", "\"q\""}}, R"( a="x=1" b="\"q\"")", R"(,"a":"x=1","b":"\"q\"")");
    check({{"a", "back\\slash"}}, R"( a=back\slash)", R"(,"a":"back\\slash")");
    check({{"a", "line\nnext\x7f\x01"}}, R"( a="line\nnext\u007f\u0001")",
          R"(,"a":"line\nnext\u007f\u0001")");
    check({{"a", "\xC3\xA9"}, {"b", "\xC3"}}, " a=\"\xC3\xA9\" b=\"\xEF\xBF\xBD\"",
          ",\"a\":\"\xC3\xA9\",\"b\":\"\xEF\xBF\xBD\"");
    check({{"n", 0}, {"m", -12}, {"u", std::uint64_t(7)}, {"t", true}, {"f", false}},
          " n=0 m=-12 u=7 t=true f=false", R"(,"n":0,"m":-12,"u":7,"t":true,"f":false)");
    check({{"ms", microseconds(1234567)}, {"none", std::nullopt}, {"less", microseconds(-5)}},
          " ms=1234.567 none=null less=-0.005", R"(,"ms":1234.567,"none":null,"less":-0.005)");
    // Each byte at each place of a short and of a longer text.
    for (std::size_t size : {1, 3, 8, 13, 16}) {
        for (int byte = 0; byte < 256; ++byte) {
            for (std::size_t at = 0; at < size; ++at) {
                std::string word(size, 'w');
                word[at] = char(byte);
                bool bare = byte > ' ' && byte < 0x7F && byte != '"' && byte != '=';
                auto quoted = json_quote(word);
                auto text = written({{"a", word}}, "text");
                auto json = written({{"a", word}}, "json");
                REQUIRE(text.ends_with(" a=" + (bare ? word : quoted) + "\n"));
                REQUIRE(json.ends_with(",\"a\":" + quoted + "}\n"));
            }
        }
    }
    // Whatever the bytes, there is room for what becomes of them.
    for (const char* each : {"\x01", "\xFF", "\"", "a"}) {
        std::string many, quoted;
        const std::string becomes = each[0] == '\x01'   ? "\\u0001"
                                    : each[0] == '\xFF' ? "\xEF\xBF\xBD"
                                    : each[0] == '"'    ? "\\\""
                                                        : "a";
        for (int i = 0; i < 3000; ++i) {
            many += each;
            quoted += becomes;
        }
        CHECK(after_time(written({{"a", many}}, "json"), utc) ==
              R"("level":"info","message":"said","a":")" + quoted + "\"}\n");
    }
}

TEST_CASE("a line is written from the level on that was asked for, and a warning at once")
{
    caught_stderr caught;
    const auto heard = [&](const char* level) {
        log::open(level, "text");
        std::string words;
        for (auto l : {log::level::trace, log::level::debug, log::level::info, log::level::warn,
                       log::level::error}) {
            log::write(l, "x", {});
            log::flush();
            if (auto line = caught.text(); !line.empty())
                words += after_time(line, local);
        }
        return words;
    };
    CHECK(heard("trace") == "trace x\ndebug x\ninfo x\nwarning x\nerror x\n");
    CHECK(heard("info") == "info x\nwarning x\nerror x\n");
    CHECK(heard("warn") == "warning x\nerror x\n");
    CHECK(heard("off") == "");

    log::open("info", "text");
    log::info("gathered");
    CHECK(caught.text().empty());
    log::warn("said");
    auto both = caught.text();
    CHECK(both.find("info gathered\n") != std::string::npos);
    CHECK(both.find("warning said\n") != std::string::npos);
}

TEST_CASE("lines that nobody reads are counted, and what was gathered is still told whole")
{
    caught_stderr caught;
    log::open("info", "text");
    const auto before = log::dropped();
    const std::string long_text(10'000, 'x');
    for (int i = 0; i < 200; ++i)
        log::info("n", {{"i", i}, {"text", long_text}});
    CHECK(log::dropped() > before);
    std::string all;
    for (std::string some = "x"; !some.empty();) {
        log::flush();
        some = caught.text();
        all += some;
    }
    const auto lost = log::dropped() - before;
    CHECK(std::uint64_t(std::count(all.begin(), all.end(), '\n')) + lost == 200);
    CHECK(all.ends_with('\n'));
    CHECK(log::dropped() == before + lost);
}
