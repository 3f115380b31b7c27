// The runner over a service that answers as a test wants: what becomes of jobs whose worker dies,
// whose store is locked, whose gateway stops.
#include "jobs/job_runner.hpp"

#include "store_of_jobs.hpp"

#include <sqlite3.h>

#include <stdexcept>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

// What a job's model says is how its call is answered.
class answers : public service {
public:
    explicit answers(asio::io_context& io) : io_(io) {}

    awaitable<void> serve(call& c, sink& to) override
    {
        ++served;
        most_at_once = std::max(most_at_once, ++running_);
        struct leaving {
            int& n;
            ~leaving() { --n; }
        } here{running_};
        if (c.model == "dies")
            throw std::runtime_error("a bug");
        if (c.model == "silent")
            co_return;
        if (c.model != "queues")
            to.sent();
        if (c.model == "waits" || c.model == "queues") {
            event stopped(io_);
            stop::hook wake(to.ending(), [&] { stopped.tell(); });
            co_await stopped.wait_until();
            bool drains = to.ending().why() == stop_reason::draining;
            to.fail({drains ? fault_code::draining : fault_code::cancelled, "", whose::ours,
                     retry::no, 0},
                    {}, {});
            co_return;
        }
        answer_head h;
        h.content_type = "application/json";
        to.head(h, {}, {});
        std::string text = "{\"done\":";
        to.piece(text.data(), text.size(), false);
        asio::steady_timer pause(io_, 5ms);
        co_await pause.async_wait(as_result);
        text = "true}";
        to.piece(text.data(), text.size(), true);
    }

    int served = 0;
    int most_at_once = 0;

private:
    asio::io_context& io_;
    int running_ = 0;
};

class running_jobs {
public:
    running_jobs()
        : service_(io),
          memory_(1 << 20),
          thread(files.path, 20ms),
          runner({io, service_, thread, memory_, [this] { return settings(); },
                  [](const job& j, job_request what) -> boost::system::result<call, fault> {
                      if (j.model == "refused")
                          return fault{fault_code::bad_body, "no such body", whose::client,
                                       retry::no, 0};
                      call c;
                      c.model = j.model;
                      c.body = std::move(what.body);
                      return boost::system::result<call, fault>(std::move(c));
                  }})
    {
        runner.start();
    }
    ~running_jobs() { end(); }

    void submit(const std::string& id, const std::string& model)
    {
        auto j = files.one(id);
        j.model = model;
        REQUIRE(files->submit({j}, 1000).has_value());
        runner.look();
    }
    template <class Condition>
    bool eventually(Condition&& holds)
    {
        auto until = steady::now() + 20s;
        while (!holds() && steady::now() < until)
            io.run_for(5ms);
        return holds();
    }
    bool becomes(const std::string& id, job_state s)
    {
        return eventually([&] { return files.state(id) == s; });
    }
    void end()
    {
        if (std::exchange(ended_, true))
            return;
        runner.stop();
        spawn(io, "end", runner.stopped(steady::now() + 20s));
        io.run();
    }
    std::shared_ptr<const config> settings() const
    {
        auto c = std::make_shared<config>();
        c->upstreams.emplace_back();
        c->upstreams.back().max_concurrent = 3;
        return c;
    }

    asio::io_context io{1};
    store_of_jobs files;
    answers service_;
    memory_budget memory_;
    store_thread thread;
    job_runner runner;

private:
    bool ended_ = false;
};

}  // namespace

TEST_CASE("jobs are run, one less at once than there are permits, and their answers are written")
{
    running_jobs r;
    for (int n = 0; n < 8; ++n)
        r.submit("j" + std::to_string(n), "m");
    REQUIRE(r.eventually([&] { return r.thread.counts()[job_state::succeeded] == 8; }));
    CHECK(r.service_.served == 8);
    CHECK(r.service_.most_at_once == 2);
    auto got = *r.files->with_answer("j0", r.files.everybody);
    CHECK(got->answer == "{\"done\":true}");
    CHECK(got->what.content_type == "application/json");
    CHECK(r.memory_.used() == 0);
}

TEST_CASE("a job whose worker dies or says nothing is begun again, then fails; others go on")
{
    running_jobs r;
    r.submit("a", "dies");
    r.submit("b", "silent");
    r.submit("c", "refused");
    r.submit("d", "m");
    for (auto id : {"a", "b"}) {
        REQUIRE(r.becomes(id, job_state::failed));
        CHECK(r.files.get(id).error == std::string(lost_text));
        CHECK(r.files.get(id).life.attempt == 2);
    }
    REQUIRE(r.becomes("c", job_state::failed));
    CHECK(r.files.get("c").error == "no such body");
    CHECK(r.becomes("d", job_state::succeeded));
    CHECK(r.eventually([&] { return r.runner.running() == 0; }));
}

TEST_CASE("a stop puts running jobs back, and a cancel by another process ends one")
{
    running_jobs r;
    for (auto id : {"a", "b", "c"})
        r.submit(id, "waits");
    REQUIRE(r.becomes("b", job_state::running));
    CHECK(*r.files->cancel("a", r.files.everybody, 2000) == job_answer::asked);
    REQUIRE(r.becomes("a", job_state::cancelled));
    REQUIRE(r.becomes("c", job_state::running));
    r.end();
    for (auto id : {"b", "c"}) {
        CHECK(r.files.state(id) == job_state::queued);
        CHECK(r.files.get(id).life.attempt == 0);
    }
}

TEST_CASE("what has finished while the store is locked is written when it is not")
{
    running_jobs r;
    r.submit("a", "waits");
    REQUIRE(r.becomes("a", job_state::running));
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(r.files.path.c_str(), &other) == SQLITE_OK);
    r.submit("b", "m");
    REQUIRE(r.eventually([&] { return r.service_.served == 2; }));
    REQUIRE(sqlite3_exec(other, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr) == SQLITE_OK);
    bool written = r.files.state("b") == job_state::succeeded;
    r.eventually([&] { return written || !r.thread.trouble().empty(); });
    if (!written)
        CHECK(r.files.state("b") == job_state::running);
    REQUIRE(sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(other);
    CHECK(r.becomes("b", job_state::succeeded));
    CHECK(r.service_.served == 2);
    CHECK(r.eventually([&] { return r.thread.trouble().empty(); }));
}

TEST_CASE("what says that it runs when the gateway starts and does not is begun again at once")
{
    running_jobs r;
    r.end();
    r.submit("a", "m");
    r.files.claim(12345, 1);  // by a process that has ended
    CHECK(r.files.state("a") == job_state::running);
    store_thread thread(r.files.path, 20ms);
    asio::io_context io{1};
    answers service(io);
    memory_budget memory(1 << 20);
    job_runner next({io, service, thread, memory, [&] { return r.settings(); },
                     [](const job&, job_request) -> boost::system::result<call, fault> {
                         return boost::system::result<call, fault>(call());
                     }});
    next.start();
    auto until = steady::now() + 20s;
    while (r.files.state("a") != job_state::succeeded && steady::now() < until)
        io.run_for(5ms);
    CHECK(r.files.state("a") == job_state::succeeded);
    CHECK(r.files.get("a").life.attempt == 2);
    next.stop();
    spawn(io, "end", next.stopped(steady::now() + 20s));
    io.run();
}
