// What is read of the store: pages, batches, answers, counts. Each statement has an index in the
// order in which it gives its rows, so that a page costs what its rows cost.
#include "jobs/row.hpp"
#include "jobs/store.hpp"

#include <algorithm>
#include <limits>

namespace gateway {

namespace {

#define FROM_JOBS "SELECT " GATEWAY_JOB_COLUMNS " FROM jobs "
#define NEWEST_FIRST " AND number < ?1 ORDER BY number DESC LIMIT ?2"
// ?3: any, only what was not sent to an upstream yet, only what was.
#define SENT " AND (?3 = 0 OR (started_at IS NULL) = (?3 = 1))"
enum class sent : std::uint8_t { any, not_yet, has_been };

std::vector<job> rows(query& q)
{
    std::vector<job> all;
    while (q.row())
        all.push_back(job_of(q));
    return all;
}

job_counts counted(query& q)
{
    job_counts c;
    while (q.row())
        if (auto s = q.number(0); s >= 0 && s < 5)
            c.of[s] = static_cast<std::uint64_t>(q.number(1));
    return c;
}

// Taken up, and not sent to an upstream yet: few, for few are taken up at once.
std::int64_t waiting(database& db)
{
    query q(db,
            "SELECT count(*) FROM jobs INDEXED BY jobs_running WHERE state = 1 AND started_at IS "
            "NULL");
    return q.row() ? q.number(0) : 0;
}

// One literal for each set of conditions: the planner must know which columns are compared.
std::vector<job> page_of(database& db, const job_filter& f, std::int64_t under, unsigned limit,
                         sent which)
{
    auto state = static_cast<std::int64_t>(f.state.value_or(job_state::queued));
    auto owner = f.whose.owner;
    auto get = [&](const char* sql, const auto&... more) {
        query q(db, sql, under, limit, std::int64_t(which), more...);
        return rows(q);
    };
    if (f.whose.all) {
        if (f.batch && f.state)
            return get(FROM_JOBS "WHERE batch = ?4 AND state = ?5" SENT NEWEST_FIRST, *f.batch,
                       state);
        if (f.batch)
            return get(FROM_JOBS "WHERE batch = ?4" NEWEST_FIRST, *f.batch);
        if (f.state)
            return get(FROM_JOBS "WHERE state = ?4" SENT NEWEST_FIRST, state);
        return get(FROM_JOBS "WHERE 1" NEWEST_FIRST);
    }
    if (f.batch && f.state)
        return get(FROM_JOBS "WHERE owner IS ?4 AND batch = ?5 AND state = ?6" SENT NEWEST_FIRST,
                   owner, *f.batch, state);
    if (f.batch)
        return get(FROM_JOBS "WHERE owner IS ?4 AND batch = ?5" NEWEST_FIRST, owner, *f.batch);
    if (f.state)
        return get(FROM_JOBS "WHERE owner IS ?4 AND state = ?5" SENT NEWEST_FIRST, owner, state);
    return get(FROM_JOBS "WHERE owner IS ?4" NEWEST_FIRST, owner);
}

// What runs and was not sent yet is told as queued: a second, short list.
std::vector<job> told_page_of(database& db, const job_filter& f, std::int64_t under, unsigned limit)
{
    if (f.state == job_state::running)
        return page_of(db, f, under, limit, sent::has_been);
    auto all = page_of(db, f, under, limit, sent::any);
    if (f.state != job_state::queued)
        return all;
    auto taken_up = f;
    taken_up.state = job_state::running;
    for (auto& j : page_of(db, taken_up, under, limit, sent::not_yet))
        all.push_back(std::move(j));
    std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.number > b.number; });
    all.resize(std::min<std::size_t>(all.size(), limit));
    return all;
}

}  // namespace

store_result<job_page> job_store::list(const job_filter& f, unsigned limit, std::int64_t cursor)
{
    begin(false);
    job_page page;
    auto under = cursor == 0 ? std::numeric_limits<std::int64_t>::max() : cursor;
    page.jobs =
        told_page_of(db_, f, under, limit + 1);  // one more tells whether there is a next page
    if (page.jobs.size() > limit) {
        page.jobs.pop_back();
        page.cursor = page.jobs.back().number;
    }
    return result(std::move(page));
}

store_result<std::vector<job>> job_store::batch(std::string_view name, std::int64_t after,
                                                unsigned limit)
{
    begin(false);
    query q(db_, FROM_JOBS "WHERE batch = ?1 AND number > ?2 ORDER BY number LIMIT ?3", name, after,
            limit);
    return result(rows(q));
}

store_result<std::uint64_t> job_store::before(const job& j)
{
    begin(false);
    query more(db_, "SELECT count(*) FROM jobs WHERE state = 0 AND interactive > ?1",
               j.interactive);
    query older(db_,
                "SELECT count(*) FROM jobs WHERE state = 0 AND interactive = ?1 AND number < ?2",
                j.interactive, j.number);
    std::int64_t n = more.row() ? more.number(0) : 0;
    n += older.row() ? older.number(0) : 0;
    n += waiting(db_);
    return result(static_cast<std::uint64_t>(n));
}

store_result<job_pieces> job_store::pieces(std::int64_t number, std::uint64_t from,
                                           std::size_t most)
{
    begin(false);
    job_pieces p;
    p.at = from;
    query q(db_,
            "SELECT at, data FROM pieces WHERE job = ?1 AND at >= "
            "ifnull((SELECT max(at) FROM pieces WHERE job = ?1 AND at <= ?2), 0) ORDER BY at",
            number, static_cast<std::int64_t>(from));
    while (p.data.size() < most && q.row()) {
        if (p.data.empty())
            p.at = static_cast<std::uint64_t>(q.number(0));
        p.data += q.bytes(1);
    }
    return result(std::move(p));
}

store_result<std::optional<answered_job>> job_store::with_answer(std::string_view id,
                                                                 const job_scope& whose)
{
    begin(false);
    transaction moment(db_, transaction::kind::reads);
    std::optional<answered_job> got;
    if (auto j = load(id, whose)) {
        got.emplace(answered_job{std::move(*j), {}});
        if (got->what.life.state == job_state::succeeded) {
            query q(db_, "SELECT data FROM pieces WHERE job = ?1 ORDER BY at", got->what.number);
            while (q.row())
                got->answer += q.bytes(0);
        }
    }
    return result(std::move(got));
}

store_result<job_counts> job_store::counts()
{
    begin(false);
    query q(db_, "SELECT state, n FROM counts");
    auto c = counted(q);
    c.move(std::uint64_t(waiting(db_)), job_state::running, job_state::queued);
    return result(c);
}

store_result<job_counts> job_store::counts_of(std::string_view batch)
{
    begin(false);
    query q(db_, "SELECT state, count(*) FROM jobs WHERE batch = ?1 GROUP BY state", batch);
    auto c = counted(q);
    query w(db_, "SELECT count(*) FROM jobs WHERE batch = ?1 AND state = 1 AND started_at IS NULL",
            batch);
    c.move(w.row() ? std::uint64_t(w.number(0)) : 0, job_state::running, job_state::queued);
    return result(c);
}

}  // namespace gateway
