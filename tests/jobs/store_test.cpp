// The job store: what it keeps, in which order it gives it, and what it says when it cannot.
#include "jobs/store.hpp"

#include "store_of_jobs.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>

using namespace gateway;

namespace {

job_report report(const job& j, std::string data, std::uint64_t at = 0)
{
    job_report r;
    r.number = j.number;
    r.run = j.life.run;
    r.at = at;
    r.data = std::move(data);
    return r;
}

runner_turn turn_of(std::int64_t runner, std::vector<job_report> reports)
{
    runner_turn t;
    t.runner = runner;
    t.now = 3000;
    t.max_attempts = 2;
    t.reports = std::move(reports);
    return t;
}

job_report ended(const job& j, job_event how, std::string data = {})
{
    auto r = report(j, std::move(data));
    r.over.emplace();
    r.over->how = how;
    r.over->attempts = R"([{"outcome":"ok"}])";
    return r;
}

std::vector<std::string> ids(const job_page& p)
{
    std::vector<std::string> all;
    for (const auto& j : p.jobs)
        all.push_back(j.id);
    return all;
}

// What a second process does.
class other_process {
public:
    explicit other_process(const std::string& path) { sqlite3_open(path.c_str(), &db_); }
    ~other_process() { sqlite3_close(db_); }
    void does(const char* sql) { REQUIRE(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == 0); }

private:
    sqlite3* db_ = nullptr;
};

}  // namespace

TEST_CASE("what is submitted is there, with its request, for its owner alone to read")
{
    store_of_jobs s;
    auto j = s.one("a");
    j.batch = "night";
    j.interactive = true;
    REQUIRE(s->submit({j}, 1000).has_value());
    s.reopen();
    auto got = s.get("a");
    CHECK(got.life == job_life{});
    CHECK(got.batch == "night");
    CHECK(got.interactive);
    CHECK(got.created_at == 1000);
    CHECK_FALSE(got.started_at);
    CHECK((*s->counts())[job_state::queued] == 1);
    struct stat file {};
    REQUIRE(::stat(s.path.c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0600);
    REQUIRE(::stat((s.path + "-wal").c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0600);
    auto claimed = s.claim(7, 1);
    REQUIRE(claimed.size() == 1);
    CHECK(claimed[0].request.body == j.what.body);
    CHECK(claimed[0].request.fields == j.what.fields);
    CHECK(claimed[0].request.target == "/api/chat");
}

TEST_CASE(
    "interactive jobs are taken up before the others, older before newer, none before its time")
{
    store_of_jobs s;
    s.submit("a");
    s.submit("b");
    auto quick = s.one("c");
    quick.interactive = true;
    REQUIRE(s->submit({quick}, 1000).has_value());
    auto first = s.claim(7, 2);
    REQUIRE(first.size() == 2);
    CHECK(first[0].what.id == "c");
    CHECK(first[1].what.id == "a");
    auto later = ended(first[1].what, job_event::put_back);
    later.over->not_before = 5000;
    REQUIRE(s->turn(turn_of(7, {later})).has_value());
    CHECK(s.claim(7, 9, 4000).size() == 1);
    auto again = s.claim(7, 9, 5000);
    REQUIRE(again.size() == 1);
    CHECK(again[0].what.life.attempt == 1);
    CHECK(again[0].what.life.run == 2);
}

TEST_CASE("an answer is there piece by piece, from any place on, and the newest run's only")
{
    store_of_jobs s;
    s.submit("a");
    auto j = s.claim(7, 1)[0].what;
    REQUIRE(s->turn(turn_of(7, {report(j, "hello ")})).has_value());
    REQUIRE(s->turn(turn_of(7, {report(j, "wor", 6)})).has_value());
    REQUIRE(s->turn(turn_of(7, {report(j, "ld", 9)})).has_value());
    auto whole = [&](std::uint64_t from) {
        auto p = *s->pieces(j.number, from, 1 << 20);
        return p.data.substr(from - p.at);
    };
    CHECK(whole(0) == "hello world");
    CHECK(whole(2) == "llo world");
    CHECK(whole(6) == "world");
    CHECK(whole(10) == "d");
    CHECK(whole(11).empty());
    // Written once more, because its commit was not heard of: there once.
    REQUIRE(s->turn(turn_of(7, {report(j, "ld!", 9)})).has_value());
    CHECK(whole(0) == "hello world!");
    REQUIRE(s->turn(turn_of(7, {ended(j, job_event::put_back)})).has_value());
    s.claim(7, 1);
    CHECK(s->pieces(j.number, 0, 100)->data.empty());
    // The run before has nothing more to say.
    auto news = s->turn(turn_of(7, {report(j, "late", 11)}));
    CHECK(news->not_mine == std::vector<std::int64_t>{j.number});
    CHECK(s->pieces(j.number, 0, 100)->data.empty());
}

TEST_CASE("a finished job says how and when, and its attempts")
{
    store_of_jobs s;
    s.submit("a");
    auto j = s.claim(7, 1)[0].what;
    CHECK(told_state(j) == job_state::queued);
    auto r = ended(j, job_event::fail, "half");
    r.start = reported_start{2500};
    r.over->at = 2900;
    r.over->error = "broken";
    r.content_type = "application/json";
    REQUIRE(s->turn(turn_of(7, {r})).has_value());
    j = s.get("a");
    CHECK(j.life.state == job_state::failed);
    CHECK(j.error == "broken");
    CHECK(j.attempts == R"([{"outcome":"ok"}])");
    CHECK(j.finished_at == 2900);
    CHECK(j.started_at == 2500);
    CHECK_FALSE(j.heartbeat_at);
    CHECK(j.content_type == "application/json");
}

TEST_CASE("a listing is newest first, and each page begins where the last one ended")
{
    store_of_jobs s;
    for (int n = 0; n < 25; ++n) {
        auto j = s.one("j" + std::to_string(n));
        if (n % 2 == 0)
            j.batch = "even";
        if (n % 5 == 0)
            j.owner = "key";
        REQUIRE(s->submit({j}, 1000).has_value());
    }
    job_filter all{s.everybody, {}, {}};
    auto first = *s->list(all, 10, 0);
    CHECK(ids(first).front() == "j24");
    s.submit("newer");  // does not shift the pages behind
    auto second = *s->list(all, 10, first.cursor);
    CHECK(ids(second).front() == "j14");
    auto third = *s->list(all, 10, second.cursor);
    CHECK(ids(third) == std::vector<std::string>{"j4", "j3", "j2", "j1", "j0"});
    CHECK(third.cursor == 0);
    CHECK(ids(*s->list(all, 10, 0)).front() == "newer");

    CHECK(s->list({s.everybody, {}, "even"}, 100, 0)->jobs.size() == 13);
    CHECK(s->list({s.everybody, job_state::failed, {}}, 100, 0)->jobs.empty());
    CHECK(s->list({{false, "key"}, {}, {}}, 100, 0)->jobs.size() == 5);
    CHECK(s->list({{false, "key"}, {}, "even"}, 100, 0)->jobs.size() == 3);
    CHECK(s->list({{false, {}}, job_state::queued, {}}, 100, 0)->jobs.size() == 21);
    CHECK(s->list({{false, {}}, job_state::queued, "even"}, 100, 0)->jobs.size() == 10);
    CHECK(s->batch("even", 0, 100)->front().id == "j0");
}

TEST_CASE("a job belongs to its key, without one to whoever holds its id")
{
    store_of_jobs s;
    auto owned = s.one("a");
    owned.owner = "mine";
    REQUIRE(s->submit({owned, s.one("b")}, 1000).has_value());
    CHECK(s->find("a", {false, "mine"})->has_value());
    CHECK_FALSE(s->find("a", {false, "other"})->has_value());
    CHECK_FALSE(s->find("a", {false, {}})->has_value());
    CHECK(s->find("b", {false, "other"})->has_value());
    CHECK(*s->cancel("a", {false, "other"}, 1) == job_answer::unknown);
    CHECK(*s->remove("a", {false, {}}) == job_answer::unknown);
    CHECK(*s->cancel("a", {false, "mine"}, 1) == job_answer::done);
}

TEST_CASE("the same idempotency key is the same job, for the same client")
{
    store_of_jobs s;
    auto j = s.one("a");
    j.idempotency_key = "k";
    REQUIRE(s->submit({j}, 1000).has_value());
    auto again = j;
    again.id = "b";
    auto got = *s->submit({again}, 1000);
    CHECK(got[0].id == "a");
    CHECK(got[0].known);
    auto other = again;
    other.what.body = "{}";
    CHECK((*s->submit({s.one("c"), other}, 1000))[1].conflict);
    CHECK((*s->counts())[job_state::queued] == 1);  // and nothing of that request is there
    auto another_client = again;
    another_client.client = "192.0.2.8";
    CHECK((*s->submit({another_client}, 1000))[0].id == "b");
    auto twice = s.one("d");
    twice.idempotency_key = "t";
    auto two = *s->submit({twice, twice}, 1000);
    CHECK(two[1].known);
}

TEST_CASE("a running job that is cancelled is told to its runner, a queued one ends at once")
{
    store_of_jobs s;
    s.submit("a");
    s.submit("b");
    auto j = s.claim(7, 1)[0].what;
    CHECK(*s->cancel("a", s.everybody, 3000) == job_answer::asked);
    CHECK(*s->cancel("b", s.everybody, 3000) == job_answer::done);
    CHECK(*s->cancel("b", s.everybody, 3000) == job_answer::not_now);
    CHECK(s->turn(turn_of(7, {}))->unwanted == std::vector<std::int64_t>{j.number});
    auto sent = report(j, "");
    sent.start = reported_start{2500};
    REQUIRE(s->turn(turn_of(7, {sent})).has_value());
    CHECK(*s->remove("a", s.everybody) == job_answer::not_now);
    REQUIRE(s->turn(turn_of(7, {ended(j, job_event::stop)})).has_value());
    CHECK(s.state("a") == job_state::cancelled);
    CHECK(*s->retry("a", s.everybody) == job_answer::done);
    CHECK(s.state("a") == job_state::queued);
    CHECK(*s->remove("a", s.everybody) == job_answer::done);
    CHECK_FALSE(s->find("a", s.everybody)->has_value());
    CHECK(*s->remove("a", s.everybody) == job_answer::unknown);
}

TEST_CASE("what nobody runs is begun again, and fails with the reason when that was too often")
{
    store_of_jobs s;
    s.submit("a");
    auto alive = std::make_unique<runner_locks>(s.path);
    REQUIRE(alive->hold(7));
    auto j = s.claim(7, 1)[0].what;
    CHECK(s->sweep(8, {}, 2000, 2)->all() == 0);            // its runner is alive
    CHECK(s->sweep(7, {j.number}, 99'000, 2)->all() == 0);  // its runner knows it
    alive.reset();                                          // its process has ended
    CHECK(s->sweep(8, {}, 2000, 2)->again == 1);
    CHECK(s.state("a") == job_state::queued);
    CHECK(s.get("a").life.attempt == 1);

    s.claim(8, 1);
    CHECK(s->sweep(8, {}, 2001, 2)->failed == 1);  // the runner lives and does not know it
    CHECK(s.get("a").error == std::string(lost_text));
    CHECK(s.get("a").life.attempt == 2);

    REQUIRE(*s->retry("a", s.everybody) == job_answer::done);
    CHECK_FALSE(s.get("a").error);
    auto hung = std::make_unique<runner_locks>(s.path);
    REQUIRE(hung->hold(9));
    s.claim(9, 1, 10'000);
    CHECK(s->sweep(8, {}, 40'000, 2)->all() == 0);
    CHECK(s->sweep(8, {}, 40'001, 2)->again == 1);  // it lives, but its heart does not beat
}

TEST_CASE("finished jobs go after their time, with everything that was theirs")
{
    store_of_jobs s;
    for (auto id : {"a", "b", "c"})
        s.submit(id);
    for (auto& c : s.claim(7, 2))
        REQUIRE(s->turn(turn_of(7, {ended(c.what, job_event::succeed, "text")})).has_value());
    CHECK(*s->forget(3000, 10) == 0);
    CHECK(*s->forget(3001, 1) == 1);
    CHECK(*s->forget(3001, 10) == 1);
    CHECK(s.state("c") == job_state::queued);
    auto counts = *s->counts();
    CHECK(counts[job_state::succeeded] == 0);
    CHECK(counts[job_state::queued] == 1);
    query left(s->connection(), "SELECT (SELECT count(*) FROM pieces), count(*) FROM requests");
    REQUIRE(left.row());
    CHECK(left.number(0) == 0);
    CHECK(left.number(1) == 1);
}

TEST_CASE("no listing and no look-up reads more rows than it gives")
{
    store_of_jobs s;
    s.submit("a");
    auto j = s.claim(7, 1)[0].what;
    for (bool all : {true, false})
        for (auto batch : {maybe_text(), maybe_text("b")})
            for (auto state : {std::optional<job_state>(), std::optional(job_state::failed)})
                REQUIRE(s->list({{all, {}}, state, batch}, 20, 5).has_value());
    REQUIRE(s->batch("b", 0, 10).has_value());
    REQUIRE(s->counts_of("b").has_value());
    REQUIRE(s->before(j).has_value());
    REQUIRE(s->with_answer("a", s.everybody).has_value());
    REQUIRE(s->pieces(j.number, 0, 1).has_value());
    REQUIRE(s->turn(turn_of(7, {ended(j, job_event::succeed, "x")})).has_value());
    REQUIRE(s->sweep(7, {}, 1, 1).has_value());
    REQUIRE(s->forget(1, 1).has_value());
    // Every statement that was prepared for that.
    auto* db = s->connection().handle();
    std::vector<std::string> asked;
    for (auto* st = sqlite3_next_stmt(db, nullptr); st != nullptr; st = sqlite3_next_stmt(db, st))
        if (std::string sql = sqlite3_sql(st); sql.find("FROM jobs") != std::string::npos)
            asked.push_back(sql);
    CHECK(asked.size() >= 16);
    for (const auto& sql : asked) {
        CAPTURE(sql);
        sqlite3_stmt* st = nullptr;
        REQUIRE(sqlite3_prepare_v2(db, ("EXPLAIN QUERY PLAN " + sql).c_str(), -1, &st, nullptr) ==
                0);
        while (sqlite3_step(st) == SQLITE_ROW) {
            std::string plan = reinterpret_cast<const char*>(sqlite3_column_text(st, 3));
            CAPTURE(plan);
            CHECK(plan.find("TEMP B-TREE") == std::string::npos);
            // The queued ones in their order are their index itself, read as far as is wanted; and
            // those that are taken up are few.
            if (plan.starts_with("SCAN"))
                CHECK(
                    (plan.ends_with("INDEX jobs_queued") || plan.ends_with("INDEX jobs_running")));
        }
        sqlite3_finalize(st);
    }
}

TEST_CASE("a full disk is told, harms nothing that was there, and is forgotten when there is room")
{
    store_of_jobs s;
    s.submit("a");
    auto& db = s->connection();
    db.execute("PRAGMA max_page_count = 1");  // as many as there are
    auto big = s.one("b");
    big.what.body = std::string(1 << 20, 'x');
    auto refused = s->submit({big}, 1000);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().what == store_error::kind::passing);
    CHECK(refused.error().text.find("full") != std::string::npos);
    CHECK(s.state("a") == job_state::queued);
    CHECK_FALSE(s->find("b", s.everybody)->has_value());
    db.execute("PRAGMA max_page_count = 1000000");
    CHECK(s->submit({big}, 1000).has_value());
    query check(db, "PRAGMA integrity_check");
    REQUIRE(check.row());
    CHECK(check.text(0) == "ok");
}

TEST_CASE("a store that another process has locked can be read, and written again afterwards")
{
    store_of_jobs s;
    s.submit("a");
    other_process other(s.path);
    other.does("BEGIN EXCLUSIVE");
    auto refused = s->submit({s.one("b")}, 1000);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().what == store_error::kind::passing);
    CHECK(refused.error().text.find("locked") != std::string::npos);
    CHECK(s.state("a") == job_state::queued);
    other.does("COMMIT");
    CHECK(s->submit({s.one("b")}, 1000).has_value());
}

TEST_CASE("what is no store, and what a newer program wrote, is refused and left alone")
{
    store_of_jobs s;
    s.store.reset();
    std::ofstream(s.path, std::ios::trunc) << std::string(8192, 'x');
    auto broken = job_store::open(s.path, std::chrono::milliseconds(1), *s.locks);
    REQUIRE_FALSE(broken.has_value());
    CHECK(broken.error().what == store_error::kind::unusable);
    CHECK(broken.error().text.find("not a database") != std::string::npos);

    std::filesystem::remove(s.path);
    other_process(s.path).does("PRAGMA user_version = 99");
    auto newer = job_store::open(s.path, std::chrono::milliseconds(1), *s.locks);
    REQUIRE_FALSE(newer.has_value());
    CHECK(newer.error().text.find("newer version") != std::string::npos);
}

TEST_CASE("a store whose file was taken away says so instead of writing into nothing")
{
    store_of_jobs s;
    std::filesystem::rename(s.path, s.path + ".old");
    auto refused = s->submit({s.one("a")}, 1000);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().what == store_error::kind::unusable);
}

TEST_CASE("a change by another process is seen")
{
    store_of_jobs s;
    s.submit("a");
    auto before = s->stamp();
    CHECK(s->stamp() == before);
    other_process(s.path).does("UPDATE jobs SET cancel_asked = 1");
    auto seen = s->stamp();
    CHECK(seen != before);
    s.submit("b");
    CHECK(s->stamp() != seen);
}
