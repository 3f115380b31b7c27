#include "jobs/schema.hpp"

#include <array>
#include <string>

namespace gateway {

namespace {

// From version n to n + 1. What stands here once is never changed: files have it.
constexpr std::array steps = {
    // States are numbers, in the order of job_state. A job's number is its age: listings go by it
    // downwards, and every index ends in it. Bodies and answers stand apart, so that a listing
    // reads none.
    R"(
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    spent INTEGER NOT NULL DEFAULT 0,
    run INTEGER NOT NULL DEFAULT 0,
    cancel_asked INTEGER NOT NULL DEFAULT 0,
    interactive INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL DEFAULT 0,
    runner INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    heartbeat_at INTEGER,
    owner TEXT,
    client TEXT NOT NULL DEFAULT '',
    batch TEXT,
    idempotency_key TEXT,
    target TEXT NOT NULL,
    model TEXT NOT NULL DEFAULT '',
    content_type TEXT NOT NULL DEFAULT '',
    error TEXT,
    attempts TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX jobs_by_state ON jobs(state);
CREATE INDEX jobs_by_owner ON jobs(owner);
CREATE INDEX jobs_by_owner_state ON jobs(owner, state);
CREATE INDEX jobs_by_batch ON jobs(batch) WHERE batch IS NOT NULL;
CREATE INDEX jobs_by_batch_state ON jobs(batch, state) WHERE batch IS NOT NULL;
CREATE INDEX jobs_by_owner_batch ON jobs(owner, batch) WHERE batch IS NOT NULL;
CREATE INDEX jobs_by_owner_batch_state ON jobs(owner, batch, state) WHERE batch IS NOT NULL;
CREATE INDEX jobs_queued ON jobs(interactive DESC, number) WHERE state = 0;
CREATE INDEX jobs_running ON jobs(runner) WHERE state = 1;
CREATE INDEX jobs_finished ON jobs(finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_idempotency_key
    ON jobs(idempotency_key, ifnull(owner, ''), iif(owner IS NULL, client, ''))
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE requests (
    job INTEGER PRIMARY KEY,
    fields TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE pieces (
    job INTEGER NOT NULL,
    at INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX piece_at ON pieces(job, at);

CREATE TABLE counts (state INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
INSERT INTO counts VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0);
CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
    UPDATE counts SET n = n + 1 WHERE state = new.state;
END;
CREATE TRIGGER job_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
    UPDATE counts SET n = n - 1 WHERE state = old.state;
    UPDATE counts SET n = n + 1 WHERE state = new.state;
END;
CREATE TRIGGER job_removed AFTER DELETE ON jobs BEGIN
    UPDATE counts SET n = n - 1 WHERE state = old.state;
    DELETE FROM requests WHERE job = old.number;
    DELETE FROM pieces WHERE job = old.number;
END;

CREATE TABLE wishes (name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT;
INSERT INTO wishes VALUES ('sweep', 0);
)",
};

std::int64_t version_of(database& db)
{
    query q(db, "PRAGMA user_version");
    return q.row() ? q.number(0) : 0;
}

}  // namespace

void migrate(database& db)
{
    auto version = version_of(db);
    if (version == std::int64_t(steps.size()) || db.failed())
        return;
    transaction t(db, transaction::kind::writes);
    version = version_of(db);  // another process may have been quicker
    if (version > std::int64_t(steps.size()))
        db.fail({store_error::kind::unusable,
                 "the job store was written by a newer version (" + std::to_string(version) + ")"});
    for (; version < std::int64_t(steps.size()) && !db.failed(); ++version)
        db.execute(steps[std::size_t(version)]);
    db.execute(("PRAGMA user_version = " + std::to_string(steps.size())).c_str());
    t.commit();
}

}  // namespace gateway
