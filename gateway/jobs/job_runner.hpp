// Runs jobs: takes them up from the store, as many as may run at once, gives each to the service
// that live calls go to, and writes down what comes of it. One coroutine writes, several times a
// second, for all of them; what cannot be written waits here until it can.
#pragma once

#include "async/event.hpp"
#include "call/sink.hpp"
#include "jobs/job_sink.hpp"
#include "jobs/store_thread.hpp"

#include <boost/system/result.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace gateway {

class job_runner {
public:
    struct surroundings {
        asio::io_context& io;
        service& calls;
        store_thread& store;
        memory_budget& memory;
        std::function<std::shared_ptr<const config>()> settings;
        // The call that a job is, or why it cannot be one.
        std::function<boost::system::result<call, fault>(const job&, job_request)> make_call;
    };
    explicit job_runner(surroundings s);
    ~job_runner();

    void start();
    // Something has changed in the store: a job to take up, or one to end.
    void look() { wake_.tell(); }
    // Running jobs go back to where they were; none is taken up any more.
    void stop();
    // Returns when everything is written, or at `deadline`.
    awaitable<void> stopped(instant deadline);
    bool all_written() const { return active_.empty(); }

    // --- what it knows of its own jobs, and the store may not know yet ---
    // Puts a job's row right: whether it was sent, and whether and how it has ended.
    void amend(job& j) const;
    // A page of the store's that `f`, `limit` and `cursor` asked for.
    void amend(job_page& p, const job_filter& f, unsigned limit, std::int64_t cursor) const;
    job_counts amended(job_counts c) const;
    // One that it runs, or that has ended and could not be written.
    std::optional<job> one_of_its_own(std::string_view id, const job_scope& whose) const;
    // The answer of one that has succeeded here: `written` is what the store has of it. None when
    // it is all written by now.
    std::optional<std::string> answer_of(const job& j, std::string written) const;
    // Ends one; it counts as asked to be cancelled when that is written.
    void cancel(std::int64_t number);
    // It was removed before anything of it was sent.
    void forget(std::int64_t number);

    // How one of its jobs waits for its turn at the upstreams; none when it does not.
    std::optional<queue_status> waits(std::int64_t number) const;
    std::size_t running() const { return active_.size(); }

private:
    struct active {
        explicit active(job j) : what(std::move(j)) {}
        job what;  // as it is written
        std::optional<call> request;
        std::optional<job_sink> sink;
        std::optional<fault> refused;  // it cannot be a call
        bool over = false;
        std::int64_t ended_at = 0;
        bool unwritable = false;  // its end could not be written so far
        bool cancel_asked = false;
        std::uint64_t at = 0;  // how much of its answer is written
        bool head_written = false;
    };
    using actives = std::map<std::int64_t, std::shared_ptr<active>>;

    awaitable<void> run();
    awaitable<bool> turn();
    awaitable<bool> sweep();
    awaitable<void> serve(std::shared_ptr<active> a);
    void begin(claimed_job j);
    void ends(active& a);
    static maybe_number sent_at(const active& a);
    static reported_end end_of(const active& a);
    void lost(std::int64_t number, const char* why);
    std::optional<job_report> report_of(active& a) const;
    void give_back(std::vector<job_report> reports);
    void written(const std::vector<job_report>& reports);
    bool settled() const { return !turning_ && active_.empty(); }
    unsigned may_take_up() const;

    surroundings with_;
    event wake_;
    event ended_;
    actives active_;
    std::shared_ptr<const runner_turn> telling_;  // what is being written
    bool stopping_ = false;
    bool over_ = false;
    bool running_ = false;
    bool turning_ = false;  // the store is asked, and may give it jobs
    instant heartbeat_due_{};
    instant sweep_due_{};
    std::optional<std::int64_t> sweeps_asked_;
};

}  // namespace gateway
