// A job's sink: what of an answer's end is success, what is failure, and what never began.
#include "jobs/job_sink.hpp"
#include "jobs/upstream_words.hpp"

#include "catch.hpp"

using namespace gateway;

namespace {

class answered {
public:
    explicit answered(endpoint where = endpoint::chat, std::uint64_t memory = 1 << 20)
        : budget(memory)
    {
        c.where = where;
        c.what = kind::generation;
        sink.emplace(c, budget);
    }
    void head(int status, const char* type = "application/x-ndjson")
    {
        answer_head h;
        h.status = status;
        h.content_type = type;
        sink->head(h, {}, tried);
    }
    void piece(std::string text, bool last = false) { sink->piece(text.data(), text.size(), last); }
    void fails(fault_code code)
    {
        sink->fail({code, "why", whose::ours, retry::no, 90}, tried, {});
    }
    job_end verdict() const { return sink->verdict(); }

    call c;
    memory_budget budget;
    std::vector<attempt> tried{{"m", "local", outcome::ok, 0, "", 5}};
    std::optional<job_sink> sink;
};

}  // namespace

TEST_CASE("an answer that came to its end is a success, and one that ended without a word is lost")
{
    answered a;
    a.head(200);
    a.piece("{\"done\":false}\n");
    CHECK(a.verdict().how == job_event::lose);
    a.piece("{\"done\":true}\n", true);
    CHECK(a.verdict().how == job_event::succeed);
    CHECK(a.verdict().attempts.size() == 1);
    CHECK(a.sink->take() == "{\"done\":false}\n{\"done\":true}\n");
    CHECK(a.sink->take().empty());
}

TEST_CASE("an error that the upstream tells in its stream is a failure in its words")
{
    answered a;
    a.head(200);
    a.piece("{\"error\":\"out of cheese\"}\n", true);
    CHECK(a.verdict().how == job_event::fail);
    CHECK(a.verdict().error == "out of cheese");
}

TEST_CASE("an upstream's refusal is a failure in its words, but its full queue is none")
{
    answered a;
    a.head(404, "application/json");
    a.piece("{\"error\":\"model 'm' ");
    a.piece("not found\"}", true);
    CHECK(a.verdict().how == job_event::fail);
    CHECK(a.verdict().error == "model 'm' not found");
    CHECK(a.sink->take().empty());

    answered b;
    b.head(503, "application/json");
    b.piece("{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}",
            true);
    CHECK(b.verdict().how == job_event::put_back);
    CHECK(b.verdict().later_s > 0);
}

TEST_CASE("what was not begun is put back, what was ended is not begun again")
{
    struct row {
        fault_code code;
        job_event how;
        bool later;
    };
    for (const row& r : {row{fault_code::draining, job_event::put_back, false},
                         row{fault_code::queue_full, job_event::put_back, true},
                         row{fault_code::queue_timeout, job_event::put_back, true},
                         row{fault_code::no_upstream, job_event::put_back, true},
                         row{fault_code::overloaded, job_event::put_back, true},
                         row{fault_code::cancelled, job_event::stop, false},
                         row{fault_code::timed_out, job_event::fail, false},
                         row{fault_code::upstream_failed, job_event::fail, false},
                         row{fault_code::model_stuck, job_event::fail, false}}) {
        answered a;
        a.fails(r.code);
        INFO(word(r.code));
        CHECK(a.verdict().how == r.how);
        CHECK((a.verdict().later_s > 0) == r.later);
        CHECK(a.verdict().later_s <= 30);
        CHECK(a.verdict().error == (r.how == job_event::fail ? "why" : ""));
    }
}

TEST_CASE("the first end stays: a job that succeeded is not cancelled afterwards")
{
    answered a;
    a.head(200);
    a.piece("{\"done\":true}\n", true);
    a.sink->cut();
    a.fails(fault_code::cancelled);
    CHECK(a.verdict().how == job_event::succeed);
}

TEST_CASE("how it waits is known until the answer begins")
{
    answered a;
    queue_status s;
    s.position = 3;
    CHECK_FALSE(a.sink->waits());
    a.sink->tell(s, false, false);
    REQUIRE(a.sink->waits());
    CHECK(a.sink->waits()->position == 3);
    CHECK_FALSE(a.sink->at().head_committed);  // telling somebody commits nothing here
    a.head(200);
    CHECK_FALSE(a.sink->waits());
    CHECK(a.sink->at().head_committed);
}

TEST_CASE("an answer that cannot be written is kept within the memory there is, then given up")
{
    answered a(endpoint::generate, 100);
    a.head(200, "application/json");
    a.piece(std::string(60, 'x'));
    auto taken = a.sink->take();
    a.piece("yyy");
    a.sink->give_back(taken);
    CHECK(a.sink->take() == taken + "yyy");
    CHECK(a.budget.used() == 63);
    a.sink->written(63);
    CHECK(a.budget.used() == 0);
    a.piece(std::string(101, 'z'));
    CHECK(a.sink->ending().requested());
    a.fails(fault_code::cancelled);
    CHECK(a.verdict().how == job_event::fail);
    CHECK(a.verdict().error.find("limits.memory") != std::string::npos);
}

TEST_CASE("an upstream's words are found in each API's shape")
{
    CHECK(upstream_words(R"({"error":"a"})", 500) == "a");
    CHECK(upstream_words(R"({"error":{"message":"b"}})", 500) == "b");
    CHECK(upstream_words("plain\n", 500) == "plain");
    CHECK(upstream_words("", 502) == "the upstream answered 502");
    CHECK(upstream_words("{\"error\":5}", 500) == "{\"error\":5}");
}
