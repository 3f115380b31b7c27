// What `top` shows of a status.
#include "top/screen.hpp"

#include "catch.hpp"

#include <string>

using namespace gateway::top;

namespace {

const std::string busy = R"({
 "version":"1.2.3","uptime_s":7500,"draining":false,"warnings":["listening on 0.0.0.0:1 without keys"],
 "upstreams":[{"name":"local","url":"http://127.0.0.1:11434","up":true,"permits":3,"in_use":2,"vram_budget":25769803776,"last_listing_age_s":3.1},
              {"name":"far","url":"http://far:11434","up":false,"permits":2,"in_use":0,"vram_budget":null,"last_listing_age_s":null}],
 "models":[{"name":"llama3:latest","upstream":"local","state":"ready","loaded":true,"running":2,"waiting":1,"size_vram":4700000000,"expires_at":null,"silence_s":0.1},
           {"name":"hung:latest","upstream":"local","state":"stuck","loaded":true,"running":0,"waiting":0,"size_vram":0,"expires_at":null,"silence_s":400}],
 "calls_total":3,
 "calls":[{"id":"1","client":"anna","endpoint":"/api/chat","model":"llama3:latest","upstream":"local","phase":"streaming","age_s":4.2,"waited_ms":0,"position":null,"chunks":81},
          {"id":"2","client":"b\u001b[2J\u009bx","endpoint":"/api/chat","model":"llama3:latest","upstream":null,"phase":"waiting","age_s":65,"waited_ms":65000,"position":1,"chunks":0}],
 "recent":[{"id":"3","client":"carl","endpoint":"/api/chat","model":"llama3:latest","outcome":"client_gone","queue_ms":10,"load_ms":0,"first_byte_ms":null,"total_ms":4100,"attempts":[]}]
})";

std::string all(const std::vector<line>& lines)
{
    return paint(lines, false, "\n");
}

const line* with(const std::vector<line>& lines, const std::string& text)
{
    for (const auto& l : lines)
        if (l.text.find(text) != std::string::npos)
            return &l;
    return nullptr;
}

}  // namespace

TEST_CASE("everything that matters stands there in eighty columns")
{
    auto lines = draw(busy, 80, 0);
    for (const char* text :
         {"ollama-gateway 1.2.3", "up 2 h 05", "serving", "permits 2/3", "DOWN", "4.4 GiB",
          "of 24.0 GiB", "2 running, 1 waiting", "anna", "streaming", "1 min 05", "carl",
          "client_gone", "without keys", "stuck", "and 1 more"}) {
        INFO(text);
        CHECK(with(lines, text));
    }
    for (const auto& l : lines) {
        INFO(l.text);
        CHECK(l.text.size() <= 80);
    }
}

TEST_CASE("what waits is red, what runs is blue")
{
    auto lines = draw(busy, 80, 0);
    CHECK(with(lines, "anna")->as == look::runs);
    CHECK(with(lines, "1 min 05")->as == look::waits);
    CHECK(with(lines, "hung:latest")->as == look::wrong);
    CHECK(paint(lines, true, "\n").find("\x1b[91m") != std::string::npos);
    CHECK(all(lines).find('\x1b') == std::string::npos);
}

TEST_CASE("who waits for a model that two upstreams have waits once")
{
    auto lines = draw(R"({"models":[{"name":"a","upstream":"x","running":1,"waiting":3},)"
                      R"({"name":"a","upstream":"y","running":2,"waiting":3},)"
                      R"({"name":"b","upstream":"y","running":0,"waiting":1}]})",
                      80, 0);
    CHECK(with(lines, "3 running, 4 waiting"));
}

TEST_CASE("jobs are counted when there are any")
{
    CHECK(with(draw(R"({"jobs":{"queued":4,"running":1}})", 80, 0),
               "0 running, 0 waiting; jobs: 1 running, 4 queued"));
    CHECK_FALSE(with(draw(R"({"jobs":{"queued":0,"running":0}})", 80, 0), "jobs"));
    CHECK_FALSE(with(draw(R"({"jobs":null})", 80, 0), "jobs"));
}

TEST_CASE("a client's name moves no cursor")
{
    auto text = all(draw(busy, 120, 0));
    CHECK(text.find("b?[2J?x") != std::string::npos);
    CHECK(text.find("\xc2\x9b") == std::string::npos);
}

TEST_CASE("it never takes more lines than there are, and never loses who runs to who has ended")
{
    for (std::size_t height = 1; height < 40; ++height) {
        auto lines = draw(busy, 80, height);
        INFO(height);
        CHECK(lines.size() <= height);
        if (height >= 12)
            CHECK(with(lines, "anna"));
    }
}

TEST_CASE("letters of more than one byte are one column")
{
    std::string status =
        R"({"version":"1","models":[{"name":"größe-µ-模型-with-a-name-that-is-too-long-for-it",)"
        R"("upstream":"x","state":"ready","running":1}]})";
    auto lines = draw(status, 80, 0);
    const auto* row = with(lines, "größe");
    REQUIRE(row);
    CHECK(row->text.find("~ loaded") != std::string::npos);
}

TEST_CASE("what is no status is said, and missing parts are no mistake")
{
    for (const char* text : {"", "[]", "nonsense", "{\"version\":"})
        CHECK(draw(text, 80, 0).size() == 1);
    for (
        const char* text :
        {"{}", R"({"models":{},"calls":7,"recent":null})",
         R"({"models":[{}],"calls":[{"position":null,"client":7}],"recent":[{}],"upstreams":[{}]})"})
        CHECK(draw(text, 80, 0).size() > 1);
}

TEST_CASE("spans are said in two units at most")
{
    CHECK(span(0) == "0 ms");
    CHECK(span(999) == "999 ms");
    CHECK(span(4200) == "4.2 s");
    CHECK(span(59'900) == "59 s");
    CHECK(span(200'000) == "3 min 20");
    CHECK(span(7'500'000) == "2 h 05");
    CHECK(span(90'000'000) == "1 d 1 h");
}
