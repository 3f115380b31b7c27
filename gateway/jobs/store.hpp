// Where jobs are kept: one SQLite file. What a function returns without an error is committed.
// Every listing has its index, whose order is the listing's own; a page begins where the last one
// ended. For one thread, which may be any; several processes may have the same file open.
#pragma once

#include "jobs/database.hpp"
#include "jobs/job.hpp"
#include "jobs/runner_locks.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gateway {

struct submitted {
    std::string id;
    bool known = false;     // it was submitted before, under the same idempotency key
    bool conflict = false;  // that key was used for another request: nothing was submitted
};

enum class job_answer : std::uint8_t { done, asked, not_now, unknown };

// How a job's run has ended, as it is written.
struct reported_end {
    job_event how = job_event::lose;
    std::optional<std::string> error;
    std::string attempts;  // JSON
    std::int64_t not_before = 0;
    std::int64_t at = 0;        // when it ended; 0: now
    bool cancel_asked = false;  // which the store may not know
};

// When its call was sent to an upstream; none: it waits, or waits again.
struct reported_start {
    maybe_number at;
};

// What a runner has to say of a job it has taken up, since it said so last.
struct job_report {
    std::int64_t number = 0;
    unsigned run = 0;
    std::uint64_t at = 0;  // where in the answer `data` begins
    std::string data;
    std::optional<std::string> content_type;  // once the answer's head is there
    std::optional<reported_start> start;      // when that has changed
    std::optional<reported_end> over;
};

struct claimed_job {
    job what;
    job_request request;
};

// What a runner tells and wants in one transaction.
struct runner_turn {
    std::int64_t runner = 0;
    std::int64_t now = 0;
    bool heartbeat = false;
    unsigned wanted = 0;  // jobs to take up
    unsigned max_attempts = 1;
    bool probe = false;  // writes something in any case: can it be done again?
    std::vector<job_report> reports;
};

struct runner_news {
    std::vector<claimed_job> claimed;
    std::vector<std::int64_t> unwanted;  // of its own: somebody asked to cancel them
    std::vector<std::int64_t> not_mine;  // reported, but taken from it meanwhile
    std::vector<std::int64_t> gone;      // reported, but not in the store any more
    std::int64_t sweeps_asked = 0;
};

struct swept {
    std::size_t again = 0;
    std::size_t failed = 0;
    std::size_t cancelled = 0;
    std::size_t all() const { return again + failed + cancelled; }
};

// An answer as far as it is there.
struct job_pieces {
    std::uint64_t at = 0;  // where `data` begins: at or before what was asked for
    std::string data;
};

struct answered_job {
    job what;
    std::string answer;  // of one that has succeeded
};

class job_store {
public:
    // `patience`: how long another process's lock is waited for. `locks` outlive the store.
    static store_result<std::unique_ptr<job_store>> open(const std::string& path,
                                                         std::chrono::milliseconds patience,
                                                         const runner_locks& locks);

    // --- whoever wants jobs done ---
    // All or none, in this order: what `source` gives to its argument, until that says false.
    // `told`: each, before anything is committed. False: none, for there is a conflict.
    using add_job = std::function<bool(const new_job&)>;
    store_result<bool> submit_each(const std::function<void(const add_job&)>& source,
                                   std::int64_t now,
                                   const std::function<void(const submitted&)>& told);
    // A job as it stands in the transaction under way.
    std::optional<job> load(std::string_view id, const job_scope& whose);
    // All or none, in this order.
    store_result<std::vector<submitted>> submit(const std::vector<new_job>& jobs, std::int64_t now);
    store_result<std::optional<job>> find(std::string_view id, const job_scope& whose);
    store_result<std::optional<answered_job>> with_answer(std::string_view id,
                                                          const job_scope& whose);
    // `cursor`: of the page before, 0: the newest.
    store_result<job_page> list(const job_filter& f, unsigned limit, std::int64_t cursor);
    // A batch's jobs, the oldest first: at most `limit` after the number `after`.
    store_result<std::vector<job>> batch(std::string_view name, std::int64_t after, unsigned limit);
    // How many queued ones go before it.
    store_result<std::uint64_t> before(const job& j);
    // At most `most` bytes of a run's answer, from a row at or before `from`.
    store_result<job_pieces> pieces(std::int64_t number, std::uint64_t from, std::size_t most);
    store_result<job_answer> cancel(std::string_view id, const job_scope& whose, std::int64_t now);
    store_result<job_answer> retry(std::string_view id, const job_scope& whose);
    store_result<job_answer> remove(std::string_view id, const job_scope& whose);
    store_result<job_counts> counts();
    store_result<job_counts> counts_of(std::string_view batch);

    // --- runners ---
    store_result<runner_news> turn(const runner_turn& t);
    // What nobody runs is begun again or fails: of `runner` what is not in `mine`, of others what
    // has no living runner or no heartbeat for so long.
    store_result<swept> sweep(std::int64_t runner, const std::vector<std::int64_t>& mine,
                              std::int64_t now, unsigned max_attempts);
    // Asks every runner to sweep.
    store_result<void> ask_sweep();
    // Forgets at most `most` that finished before `before`; how many.
    store_result<std::size_t> forget(std::int64_t before, unsigned most);

    // Did the last one that wrote go well?
    bool healthy() const { return healthy_; }
    // Other values after each change, whoever made it.
    std::uint64_t stamp() { return db_.stamp(); }
    database& connection() { return db_; }

    static constexpr std::int64_t heartbeat_holds = 30'000;  // ms

private:
    job_store(const std::string& path, std::chrono::milliseconds patience,
              const runner_locks& locks);
    // Before each: waits for no lock when the last one that wrote failed.
    void begin(bool writes);
    store_error error();
    // After each: the value, unless something failed.
    template <class T>
    store_result<T> result(T value)
    {
        if (db_.failed())
            return error();
        healthy_ = healthy_ || writing_;
        return value;
    }

    void report(const runner_turn& t, const job_report& r, runner_news& news);
    void claim(const runner_turn& t, runner_news& news);
    store_result<job_answer> change(std::string_view id, const job_scope& whose, job_event e,
                                    std::int64_t now);

    database db_;
    const runner_locks& locks_;
    std::chrono::milliseconds patience_;
    bool healthy_ = true;
    bool writing_ = false;
};

}  // namespace gateway
