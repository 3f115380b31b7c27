// What is taken as a job, and where what is wrong with the others stands.
#include "admin/job_submission.hpp"

#include "catch.hpp"

using namespace gateway;

namespace {

std::string mistake(std::string_view body)
{
    auto read = read_submission(body);
    return read ? "none" : read.error().message;
}

}  // namespace

TEST_CASE("a job's body is kept byte by byte, whatever else stands around it")
{
    auto read = read_submission(
        R"( { "batch":"n\u00e9", "body" : {"model":"M", "x":1e400,"messages":[ ]} ,"path":"/api/chat",)"
        R"("priority":"interactive","idempotency_key":"k"} )");
    REQUIRE(read.has_value());
    REQUIRE(read->jobs.size() == 1);
    CHECK_FALSE(read->many);
    const auto& j = read->jobs[0];
    CHECK(j.what.body == R"({"model":"M", "x":1e400,"messages":[ ]})");
    CHECK(j.what.target == "/api/chat");
    CHECK(j.what.fields == "Content-Type: application/json\r\n");
    CHECK(j.model == "m:latest");
    CHECK(j.batch == "n\u00e9");
    CHECK(j.idempotency_key == "k");
    CHECK(j.interactive);
}

TEST_CASE("a list makes many, in its order")
{
    auto read = read_submission(
        R"([{"path":"/api/embed","body":{"model":"a","input":"x"},"batch":null},)"
        R"({"path":"/v1/messages","body":{"model":"b","max_tokens":1,"messages":[]}}])");
    REQUIRE(read.has_value());
    CHECK(read->many);
    REQUIRE(read->jobs.size() == 2);
    CHECK(read->jobs[0].model == "a:latest");
    CHECK_FALSE(read->jobs[0].batch);
    CHECK_FALSE(read->jobs[1].interactive);
}

TEST_CASE("a mistake is told with its place")
{
    struct row {
        const char* body;
        const char* what;
    };
    for (const row& r : std::vector<row>{
             {"", "is not valid JSON"},
             {"[]", "there is no job in it"},
             {"{}", "path: must be a path that takes JSON and runs a model"},
             {R"({"path":"/api/tags","body":{}})", "path: must be a path"},
             {R"({"path":"/v1/audio/transcriptions","body":{}})", "path: must be a path"},
             {R"({"path":"/api/chat"})", "body: must be the object"},
             {R"({"path":"/api/chat","body":[]})", "body: must be the object"},
             {R"({"path":"/api/chat","body":{}})", "body: names no model"},
             {R"({"path":"/api/chat","body":{"model":"a","Model":"b"}})", "body: "},
             {R"({"path":5,"body":{}})", "path: must be a string"},
             {R"({"pathh":"/api/chat"})", "pathh: unknown key; did you mean \"path\"?"},
             {R"({"path":"/api/chat","path":"/api/chat"})", "path: stands twice"},
             {R"({"path":"/api/chat","body":{"model":"m"},"priority":"high"})",
              "priority: must be"},
             {R"({"path":"/api/chat","body":{"model":"m"},"batch":""})", "batch: must be 1 to 200"},
             {R"([{"path":"/api/chat","body":{"model":"m"}},{"path":""}])", "[1].path: must be"},
             {R"({"path":"/api/chat","body":{"model":"m"}} x)", "is not valid JSON"},
             {R"({"path":"/api/chat","body":{"model":"m"})", "is not valid JSON"}}) {
        CAPTURE(r.body);
        CHECK_THAT(mistake(r.body), Catch::Matchers::StartsWith(r.what));
    }
}
