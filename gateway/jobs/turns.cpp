// What runners tell and take, and what becomes of jobs that nobody runs.
#include "jobs/attempt_list.hpp"
#include "jobs/row.hpp"
#include "jobs/store.hpp"

#include <algorithm>

namespace gateway {

void job_store::report(const runner_turn& t, const job_report& r, runner_news& news)
{
    job j;
    {
        query q(db_,
                "SELECT " GATEWAY_JOB_COLUMNS
                ", state = 1 AND runner = ?2 AND run = ?3 FROM jobs WHERE number = ?1",
                r.number, t.runner, r.run);
        bool there = q.row();
        if (!there || q.number(21) == 0) {
            if (!db_.failed())
                (there ? news.not_mine : news.gone).push_back(r.number);
            return;
        }
        j = job_of(q);
    }
    // Once more, perhaps: it may have been committed when its answer said otherwise.
    if (!r.data.empty())
        query(db_, "INSERT OR REPLACE INTO pieces (job, at, data) VALUES (?1, ?2, ?3)", r.number,
              static_cast<std::int64_t>(r.at), blob{r.data})
            .run();
    if (r.content_type)
        query(db_, "UPDATE jobs SET content_type = ?2 WHERE number = ?1", r.number, *r.content_type)
            .run();
    if (r.start)
        query(db_,
              "UPDATE jobs SET started_at = iif(?2 IS NULL, NULL, max(?2, created_at)) "
              "WHERE number = ?1",
              r.number, r.start->at)
            .run();
    if (!r.over)
        return;
    j.life.cancel_asked = j.life.cancel_asked || r.over->cancel_asked;
    auto next = after(j.life, r.over->how, t.max_attempts);
    if (!next)
        return;
    auto when = r.over->at != 0 ? r.over->at : t.now;
    move_job(db_, j, *next, when, error_after(*next, r.over->error));
    query(db_, "UPDATE jobs SET attempts = ?2, not_before = ?3 WHERE number = ?1", r.number,
          r.over->attempts, r.over->not_before)
        .run();
}

void job_store::claim(const runner_turn& t, runner_news& news)
{
    query q(db_,
            "SELECT " GATEWAY_JOB_COLUMNS
            " FROM jobs INDEXED BY jobs_queued WHERE state = 0 AND not_before <= ?1 ORDER BY "
            "interactive DESC, number "
            "LIMIT ?2",
            t.now, t.wanted);
    while (q.row())
        news.claimed.push_back({job_of(q), {}});
    for (auto& c : news.claimed) {
        c.what.life = *after(c.what.life, job_event::claim, t.max_attempts);
        c.what.started_at.reset();
        c.what.heartbeat_at = t.now;
        c.what.content_type.clear();
        query(db_,
              "UPDATE jobs SET state = 1, attempt = ?2, run = ?3, runner = ?4, heartbeat_at = ?5, "
              "started_at = NULL, content_type = '' WHERE number = ?1",
              c.what.number, c.what.life.attempt, c.what.life.run, t.runner, t.now)
            .run();
        query(db_, "DELETE FROM pieces WHERE job = ?1", c.what.number).run();
        query request(db_, "SELECT fields, body FROM requests WHERE job = ?1", c.what.number);
        c.request.target = c.what.target;
        if (request.row()) {
            c.request.fields = request.text(0);
            c.request.body = request.text(1);
        }
    }
}

store_result<runner_news> job_store::turn(const runner_turn& t)
{
    begin(false);
    runner_news news;
    bool work = !t.reports.empty() || t.heartbeat || t.probe;
    if (!work && t.wanted != 0) {
        // Nothing is locked to see that nothing is to be done.
        query q(db_, "SELECT 1 FROM jobs WHERE state = 0 AND not_before <= ?1 LIMIT 1", t.now);
        work = q.row();
    }
    if (work) {
        begin(true);
        transaction tr(db_, transaction::kind::writes);
        for (const auto& r : t.reports)
            report(t, r, news);
        if (t.heartbeat)
            query(db_, "UPDATE jobs SET heartbeat_at = ?2 WHERE state = 1 AND runner = ?1",
                  t.runner, t.now)
                .run();
        if (t.probe)
            query(db_, "UPDATE wishes SET n = n WHERE name = 'sweep'").run();
        if (t.wanted != 0)
            claim(t, news);
        tr.commit();
    }
    query unwanted(db_, "SELECT number FROM jobs WHERE state = 1 AND runner = ?1 AND cancel_asked",
                   t.runner);
    while (unwanted.row())
        news.unwanted.push_back(unwanted.number(0));
    query asked(db_, "SELECT n FROM wishes WHERE name = 'sweep'");
    if (asked.row())
        news.sweeps_asked = asked.number(0);
    return result(std::move(news));
}

store_result<swept> job_store::sweep(std::int64_t runner, const std::vector<std::int64_t>& mine,
                                     std::int64_t now, unsigned max_attempts)
{
    begin(false);
    struct running {
        job what;
        std::int64_t runner;
    };
    auto is_lost = [&](const running& r) {
        if (r.runner == runner)
            return std::find(mine.begin(), mine.end(), r.what.number) == mine.end();
        return !locks_.alive(r.runner) || r.what.heartbeat_at.value_or(0) < now - heartbeat_holds;
    };
    auto lost_now = [&] {
        std::vector<running> lost;
        query q(db_, "SELECT " GATEWAY_JOB_COLUMNS ", runner FROM jobs WHERE state = 1");
        while (q.row()) {
            running r{job_of(q), q.number_or_none(21).value_or(0)};
            if (is_lost(r))
                lost.push_back(std::move(r));
        }
        return lost;
    };
    swept done;
    if (lost_now().empty())
        return result(done);
    begin(true);
    transaction t(db_, transaction::kind::writes);
    for (const auto& r : lost_now()) {
        auto next = *after(r.what.life, job_event::lose, max_attempts);
        bool failed = next.state == job_state::failed;
        move_job(db_, r.what, next, now, failed ? maybe_text(lost_text) : maybe_text());
        query(db_, "UPDATE jobs SET attempts = ?2 WHERE number = ?1", r.what.number,
              joined(r.what.attempts, lost_attempt(r.what.model)))
            .run();
        done.again += next.state == job_state::queued;
        done.failed += failed;
        done.cancelled += next.state == job_state::cancelled;
    }
    t.commit();
    return result(done);
}

store_result<void> job_store::ask_sweep()
{
    begin(true);
    query(db_, "UPDATE wishes SET n = n + 1 WHERE name = 'sweep'").run();
    if (db_.failed())
        return error();
    return {};
}

}  // namespace gateway
