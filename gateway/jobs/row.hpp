// A job as it stands in its row: the columns in one order, read in one place.
#pragma once

#include "jobs/database.hpp"
#include "jobs/job.hpp"

namespace gateway {

#define GATEWAY_JOB_COLUMNS                                                                        \
    "number, id, state, attempt, spent, run, cancel_asked, interactive, target, model, client, "   \
    "owner, batch, idempotency_key, attempts, created_at, started_at, finished_at, heartbeat_at, " \
    "error, content_type"

inline job job_of(const query& q)
{
    job j;
    j.number = q.number(0);
    j.id = q.text(1);
    j.life.state = static_cast<job_state>(q.number(2) & 7);
    j.life.attempt = static_cast<unsigned>(q.number(3));
    j.life.spent = static_cast<unsigned>(q.number(4));
    j.life.run = static_cast<unsigned>(q.number(5));
    j.life.cancel_asked = q.number(6) != 0;
    j.interactive = q.number(7) != 0;
    j.target = q.text(8);
    j.model = q.text(9);
    j.client = q.text(10);
    j.owner = q.text_or_none(11);
    j.batch = q.text_or_none(12);
    j.idempotency_key = q.text_or_none(13);
    j.attempts = q.text(14);
    j.created_at = q.number(15);
    j.started_at = q.number_or_none(16);
    j.finished_at = q.number_or_none(17);
    j.heartbeat_at = q.number_or_none(18);
    j.error = q.text_or_none(19);
    j.content_type = q.text(20);
    return j;
}

// Puts a job where `to` says. Times never go back, whatever the clock does.
inline void move_job(database& db, const job& j, const job_life& to, std::int64_t now,
                     const std::optional<std::string>& error)
{
    bool over = finished(to.state);
    bool runs = to.state == job_state::running;
    query(db,
          "UPDATE jobs SET state = ?2, attempt = ?3, spent = ?4, run = ?5, cancel_asked = ?6, "
          "error = ?7, finished_at = iif(?8, max(?9, created_at, ifnull(started_at, 0)), NULL), "
          "started_at = iif(?8 OR ?10, started_at, NULL), "
          "runner = iif(?10, runner, NULL), heartbeat_at = iif(?10, heartbeat_at, NULL) "
          "WHERE number = ?1",
          j.number, std::int64_t(to.state), to.attempt, to.spent, to.run, to.cancel_asked, error,
          over, now, runs)
        .run();
}

}  // namespace gateway
