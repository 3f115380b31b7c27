// Answers re-told as events, and gone on with from any of their ids.
#include "jobs/answer_events.hpp"
#include "jobs/job_json.hpp"

#include "catch.hpp"

#include <ctime>

using namespace gateway;

namespace {

std::string told(std::string_view type, std::string_view answer, event_id from = {1, 0, false})
{
    answer_events e(type, from);
    std::string out;
    e.feed(answer.substr(from.at), out);
    e.finish(out);
    return out;
}

constexpr auto ndjson = "application/x-ndjson";
constexpr auto sse = "text/event-stream";

}  // namespace

TEST_CASE("each object of an NDJSON answer is an event whose id is where it ends")
{
    CHECK(told(ndjson, "{\"a\":1}\n{\"b\":2}\r\n\n{\"c\":3}") ==
          "id: 1.8\ndata: {\"a\":1}\n\nid: 1.17\ndata: {\"b\":2}\n\nid: 1.25\ndata: {\"c\":3}\n\n");
    CHECK(told(ndjson, "{\"a\":1}\n{\"b\":2}\n", {1, 8, false}) == "id: 1.16\ndata: {\"b\":2}\n\n");
}

TEST_CASE("each event of an event stream stays as it is, with an id of ours")
{
    CHECK(told(sse, "event: x\nid: 7\ndata: {}\n\ndata: [DONE]\r\n\r\n") ==
          "id: 1.25\nevent: x\ndata: {}\n\nid: 1.41\ndata: [DONE]\n\n");
}

TEST_CASE("any other answer is one event, when it is whole")
{
    answer_events e("application/json", {2, 0, false});
    std::string out;
    e.feed("{\n \"a\":", out);
    CHECK(out.empty());
    CHECK(e.told() == event_id{2, 0, false});
    CHECK(e.wants() == 7);
    e.feed("1}", out);
    e.finish(out);
    CHECK(out == "id: 2.9\ndata: {\ndata:  \"a\":1}\n\n");
}

TEST_CASE("however an answer is cut and gone on with, its events are the same")
{
    std::string answer;
    for (int n = 0; n < 9; ++n)
        answer += "event: e\ndata: " + std::string(n, 'x') + "\r\n\r\ndata: y\n\n";
    for (auto type : {ndjson, sse}) {
        auto whole = told(type, answer);
        for (std::size_t step = 1; step < 20; ++step) {
            std::string out;
            event_id last{1, 0, false};
            while (last.at < answer.size()) {
                answer_events e(type, last);  // another connection, for a few pieces
                auto before = e.told();
                for (int pieces = 0; pieces < 4 || e.told() == before; ++pieces) {
                    auto piece = std::string_view(answer).substr(e.wants(), step);
                    if (piece.empty())
                        break;
                    e.feed(piece, out);
                }
                last = e.told();
            }
            REQUIRE(out == whole);
        }
    }
}

TEST_CASE("a long record that comes in small pieces is searched once, not with each piece again")
{
    const std::string answer = "event: e\ndata: " + std::string(std::size_t(1) << 22, 'x') + "\n\n";
    const auto whole = told(sse, answer);
    answer_events e(sse, {1, 0, false});
    std::string out;
    auto begin = std::clock();
    for (std::size_t at = 0; at < answer.size(); at += 16)
        e.feed(std::string_view(answer).substr(at, 16), out);
    CHECK(out == whole);
    // So loose that only what grows with the square of the record's size is over it.
    CHECK((std::clock() - begin) / CLOCKS_PER_SEC < 20);
}

TEST_CASE("an event's id is read as it is written, and nothing else is one")
{
    for (const event_id& id : {event_id{0, 0, false}, event_id{3, 1ull << 40, true}})
        CHECK(event_id_of(to_text(id)) == id);
    for (const char* bad : {"", "1", "1.", ".1", "1.2.3", "1.2.end.", "-1.2", "1.2x", "a.b"}) {
        CAPTURE(bad);
        CHECK_FALSE(event_id_of(bad));
    }
}

TEST_CASE("a job is shown in the documented shape, its result only where it is asked for")
{
    job j;
    j.id = "0123";
    j.target = "/api/chat";
    j.attempts = "[]";
    j.created_at = 1'764'150'000'120;
    CHECK(job_json(j) ==
          R"({"id":"0123","status":"queued","path":"/api/chat","batch":null,)"
          R"("priority":"background","attempt":0,"attempts":[],)"
          R"("created_at":"2025-11-26T09:40:00.120Z","started_at":null,"finished_at":null,)"
          R"("heartbeat_at":null,"error":null})");
    j.life.state = job_state::succeeded;
    j.content_type = "application/json; charset=utf-8";
    CHECK(job_json(j, " {\"a\": 1}\n").ends_with(R"("error":null,"result":{"a": 1}})"));
    CHECK(job_json(j, "{\"a\":").ends_with(R"("result":"{\"a\":"})"));
    j.content_type = ndjson;
    CHECK(job_json(j, "{}\n").ends_with(R"("result":"{}\n"})"));
    j.life.state = job_state::failed;
    j.error = "why";
    CHECK(job_json(j, "{}").ends_with(R"("error":"why","result":null})"));
    CHECK(job_list_json({{j, j}, 7}).ends_with(R"(}],"next_cursor":"7"})"));
    CHECK(job_list_json({}) == R"({"jobs":[],"next_cursor":null})");
}
