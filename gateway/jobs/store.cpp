// Opening, submitting, and what is asked of single jobs.
#include "jobs/store.hpp"

#include "jobs/row.hpp"
#include "jobs/schema.hpp"

namespace gateway {

job_store::job_store(const std::string& path, std::chrono::milliseconds patience,
                     const runner_locks& locks)
    : db_(path), locks_(locks), patience_(patience)
{
}

store_result<std::unique_ptr<job_store>> job_store::open(const std::string& path,
                                                         std::chrono::milliseconds patience,
                                                         const runner_locks& locks)
{
    std::unique_ptr<job_store> s(new job_store(path, patience, locks));
    s->db_.set_patience(patience);
    // FULL: what is acknowledged survives the machine's end too. Deleted prompts are overwritten
    // where that costs no writes of its own.
    s->db_.execute("PRAGMA journal_mode = WAL");
    s->db_.execute("PRAGMA synchronous = FULL");
    s->db_.execute("PRAGMA secure_delete = FAST");
    s->db_.execute("PRAGMA journal_size_limit = 67108864");
    migrate(s->db_);
    if (s->db_.failed())
        return s->db_.take_error();
    return s;
}

void job_store::begin(bool writes)
{
    writing_ = writes;
    db_.set_patience(healthy_ ? patience_ : std::chrono::milliseconds(0));
    if (writes && db_.moved())
        db_.fail({store_error::kind::unusable, "the job store's file was moved or removed"});
}

store_error job_store::error()
{
    if (writing_)
        healthy_ = false;
    return db_.take_error();
}

// --- submitting ---

namespace {

// What stands under the same idempotency key, of the same key or client.
std::optional<submitted> known_as(database& db, const new_job& j)
{
    if (!j.idempotency_key)
        return std::nullopt;
    query q(db,
            "SELECT id, target, body FROM jobs JOIN requests ON job = number "
            "WHERE idempotency_key = ?1 AND ifnull(owner, '') = ifnull(?2, '') "
            "AND iif(owner IS NULL, client, '') = iif(?2 IS NULL, ?3, '')",
            *j.idempotency_key, j.owner, j.client);
    if (!q.row())
        return std::nullopt;
    bool same = q.bytes(1) == j.what.target && q.bytes(2) == j.what.body;
    return submitted{q.text(0), same, !same};
}

void insert(database& db, const new_job& j, std::int64_t now)
{
    query(db,
          "INSERT INTO jobs (id, state, interactive, created_at, owner, client, batch, "
          "idempotency_key, target, model) VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
          j.id, j.interactive, now, j.owner, j.client, j.batch, j.idempotency_key, j.what.target,
          j.model)
        .run();
    query(db, "INSERT INTO requests (job, fields, body) VALUES (?1, ?2, ?3)", db.last_row(),
          j.what.fields, blob{j.what.body})
        .run();
}

}  // namespace

store_result<bool> job_store::submit_each(const std::function<void(const add_job&)>& source,
                                          std::int64_t now,
                                          const std::function<void(const submitted&)>& told)
{
    begin(true);
    transaction t(db_, transaction::kind::writes);
    bool conflict = false;
    source([&](const new_job& j) {
        auto one = known_as(db_, j);
        if (!one) {
            insert(db_, j, now);
            one = submitted{j.id};
        }
        conflict = conflict || one->conflict;
        if (!db_.failed())
            told(*one);
        return !db_.failed();
    });
    if (!conflict)
        t.commit();
    return result(!conflict);
}

store_result<std::vector<submitted>> job_store::submit(const std::vector<new_job>& jobs,
                                                       std::int64_t now)
{
    std::vector<submitted> all;
    auto source = [&](const add_job& add) {
        for (const auto& j : jobs)
            if (!add(j))
                break;
    };
    auto done = submit_each(source, now, [&](const submitted& s) { all.push_back(s); });
    if (!done)
        return done.error();
    return all;
}

// --- single jobs ---

std::optional<job> job_store::load(std::string_view id, const job_scope& whose)
{
    query q(db_, "SELECT " GATEWAY_JOB_COLUMNS " FROM jobs WHERE id = ?1", id);
    if (!q.row())
        return std::nullopt;
    auto j = job_of(q);
    return whose.sees(j) ? std::optional(std::move(j)) : std::nullopt;
}

store_result<std::optional<job>> job_store::find(std::string_view id, const job_scope& whose)
{
    begin(false);
    return result(load(id, whose));
}

store_result<job_answer> job_store::change(std::string_view id, const job_scope& whose, job_event e,
                                           std::int64_t now)
{
    begin(true);
    transaction t(db_, transaction::kind::writes);
    auto j = load(id, whose);
    auto answer = j ? job_answer::not_now : job_answer::unknown;
    if (auto next = j ? after(j->life, e, 1) : std::nullopt) {
        move_job(db_, *j, *next, now, std::nullopt);
        if (e == job_event::retry)
            query(db_, "UPDATE jobs SET not_before = 0 WHERE number = ?1", j->number).run();
        answer = next->state == job_state::running ? job_answer::asked : job_answer::done;
        t.commit();
    }
    return result(answer);
}

store_result<job_answer> job_store::cancel(std::string_view id, const job_scope& whose,
                                           std::int64_t now)
{
    return change(id, whose, job_event::ask_cancel, now);
}

store_result<job_answer> job_store::retry(std::string_view id, const job_scope& whose)
{
    return change(id, whose, job_event::retry, 0);
}

store_result<job_answer> job_store::remove(std::string_view id, const job_scope& whose)
{
    begin(true);
    transaction t(db_, transaction::kind::writes);
    auto j = load(id, whose);
    auto answer = job_answer::unknown;
    if (j)
        answer = removable(told_state(*j)) ? job_answer::done : job_answer::not_now;
    if (answer == job_answer::done) {
        query(db_, "DELETE FROM jobs WHERE number = ?1", j->number).run();
        t.commit();
    }
    return result(answer);
}

store_result<std::size_t> job_store::forget(std::int64_t before, unsigned most)
{
    begin(true);
    std::size_t forgotten = 0;
    transaction t(db_, transaction::kind::writes);
    query q(db_,
            "DELETE FROM jobs WHERE number IN "
            "(SELECT number FROM jobs WHERE finished_at < ?1 LIMIT ?2) RETURNING number",
            before, most);
    while (q.row())
        ++forgotten;
    t.commit();
    return result(forgotten);
}

}  // namespace gateway
