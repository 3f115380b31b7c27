#include "jobs/job_runner.hpp"

#include "base/log.hpp"
#include "jobs/attempt_list.hpp"
#include "jobs/unix_time.hpp"

#include <algorithm>

namespace gateway {

using namespace std::chrono_literals;

namespace {

constexpr auto write_every = 200ms;  // what a piece waits to be seen by others
constexpr auto look_every = 500ms;   // while nothing runs: what other processes have submitted
constexpr auto try_again = 1s;       // to write, when that failed
constexpr auto heartbeat_every = 10s;
constexpr auto sweep_every = 30s;

// The end of one that could not be a call.
job_end refused(const fault& f)
{
    bool for_now = f.code == fault_code::overloaded;
    return {for_now ? job_event::put_back : job_event::fail,
            for_now ? "" : f.message,
            {},
            for_now ? 5 : 0};
}

}  // namespace

job_runner::job_runner(surroundings s) : with_(std::move(s)), wake_(with_.io), ended_(with_.io) {}

job_runner::~job_runner() = default;

void job_runner::start()
{
    running_ = true;
    spawn(with_.io, "jobs", run());
}

void job_runner::stop()
{
    stopping_ = true;
    auto now = steady::now();
    for (auto& [number, a] : active_)
        if (a->sink)
            a->sink->ending().request(stop_reason::draining, now);
    wake_.tell();
}

awaitable<void> job_runner::stopped(instant deadline)
{
    while (running_ && !settled() && steady::now() < deadline)
        co_await ended_.wait_until(deadline);
    if (!all_written())
        log::error("jobs could not be written down before the end; they are begun again",
                   {{"jobs", active_.size()}, {"why", with_.store.trouble()}});
    over_ = true;
    wake_.tell();
    while (running_)
        co_await ended_.wait_until();
}

std::optional<queue_status> job_runner::waits(std::int64_t number) const
{
    auto found = active_.find(number);
    if (found == active_.end() || !found->second->sink)
        return std::nullopt;
    return found->second->sink->waits();
}

awaitable<void> job_runner::run()
{
    auto due = steady::now();
    while (!over_) {
        co_await wake_.wait_until(due);
        turning_ = true;
        bool good = co_await turn();
        turning_ = false;
        if (good && !stopping_ && steady::now() >= sweep_due_)
            good = co_await sweep();
        if (stopping_ && settled())
            ended_.tell();
        bool busy = !active_.empty() || with_.store.counts()[job_state::queued] != 0;
        due = steady::now() + (!good ? duration(try_again) : busy ? write_every : look_every);
        if (!good) {
            // Whoever wakes it now would only have it fail again.
            while (!over_ && steady::now() < due)
                co_await wake_.wait_until(due);
        }
    }
    running_ = false;
    ended_.tell();
}

// 0: one permit less than there are, so that a live call finds one.
unsigned job_runner::may_take_up() const
{
    if (stopping_)
        return 0;
    auto settings = with_.settings();
    unsigned most = settings->jobs.max_concurrent;
    if (most == 0) {
        for (const auto& u : settings->upstreams)
            most += u.max_concurrent;
        most = std::max(most, 2u) - 1;
    }
    // What has ended and is written with this turn makes room.
    auto here = static_cast<unsigned>(
        std::count_if(active_.begin(), active_.end(), [](auto& a) { return !a.second->over; }));
    return here < most ? most - here : 0;
}

std::optional<job_report> job_runner::report_of(active& a) const
{
    job_report r;
    r.number = a.what.number;
    r.run = a.what.life.run;
    r.at = a.at;
    if (a.sink) {
        r.data = a.sink->take();
        if (a.sink->answering() && !a.head_written)
            r.content_type = a.sink->content_type();
    }
    if (auto at = sent_at(a); at != a.what.started_at)
        r.start = reported_start{at};
    if (a.over)
        r.over = end_of(a);
    if (r.data.empty() && !r.content_type && !r.start && !r.over)
        return std::nullopt;
    return r;
}

maybe_number job_runner::sent_at(const active& a)
{
    return a.sink ? a.sink->sent_at() : std::nullopt;
}

reported_end job_runner::end_of(const active& a)
{
    auto end = a.sink ? a.sink->verdict() : refused(*a.refused);
    if (end.how == job_event::lose) {
        if (end.attempts.empty())
            end.attempts.push_back({a.what.model, "", outcome::gateway_stopped, 0, "", 0});
        end.attempts.back().what = outcome::gateway_stopped;
    }
    reported_end r;
    r.how = end.how;
    if (!end.error.empty())
        r.error = end.error;
    r.attempts = joined(a.what.attempts, to_json(end.attempts));
    r.at = a.ended_at;
    if (end.later_s != 0)
        r.not_before = a.ended_at + end.later_s * 1000;
    r.cancel_asked = a.cancel_asked;
    return r;
}

void job_runner::give_back(std::vector<job_report> reports)
{
    for (auto& r : reports) {
        auto found = active_.find(r.number);
        if (found == active_.end())
            continue;
        if (found->second->sink)
            found->second->sink->give_back(std::move(r.data));
        found->second->unwritable = found->second->over;
    }
}

void job_runner::written(const std::vector<job_report>& reports)
{
    for (const auto& r : reports) {
        auto found = active_.find(r.number);
        if (found == active_.end())
            continue;
        auto& a = *found->second;
        a.at += r.data.size();
        a.head_written = a.head_written || r.content_type;
        if (r.start)
            a.what.started_at = r.start->at;
        if (a.sink)
            a.sink->written(r.data.size());
        if (r.over)
            active_.erase(found);
    }
}

// Tells the store everything, and takes up what there is room for. False when it could not.
awaitable<bool> job_runner::turn()
{
    auto now = steady::now();
    auto t = std::make_shared<runner_turn>();
    t->runner = with_.store.runner();
    t->now = unix_ms();
    t->heartbeat = !active_.empty() && now >= heartbeat_due_;
    t->probe = !with_.store.trouble().empty();
    t->wanted = may_take_up();
    t->max_attempts = with_.settings()->jobs.max_attempts;
    for (auto& [number, a] : active_)
        if (auto r = report_of(*a))
            t->reports.push_back(std::move(*r));
    telling_ = t;
    auto work = [t](job_store& s) { return s.turn(*t); };
    auto news = co_await with_.store.ask(std::move(work));
    telling_.reset();
    if (!news) {
        give_back(std::move(t->reports));
        co_return false;
    }
    written(t->reports);
    if (t->heartbeat)
        heartbeat_due_ = now + heartbeat_every;
    for (auto number : news->not_mine)
        lost(number, "a job was taken over by another process");
    for (auto number : news->gone)
        lost(number, "a job that ran is not in the store any more");
    for (auto number : news->unwanted)
        if (auto found = active_.find(number); found != active_.end() && found->second->sink)
            found->second->sink->ending().request(stop_reason::cancelled, now);
    for (auto& c : news->claimed)
        begin(std::move(c));
    if (sweeps_asked_.value_or(news->sweeps_asked) != news->sweeps_asked)
        sweep_due_ = now;
    sweeps_asked_ = news->sweeps_asked;
    co_return true;
}

// What it would still say here is nobody's.
void job_runner::lost(std::int64_t number, const char* why)
{
    auto found = active_.find(number);
    if (found == active_.end())
        return;
    log::warn(why, {{"id", found->second->what.id}});
    forget(number);
}

void job_runner::begin(claimed_job j)
{
    if (heartbeat_due_ < steady::now())
        heartbeat_due_ = steady::now() + heartbeat_every;
    auto a = std::make_shared<active>(std::move(j.what));
    active_[a->what.number] = a;
    auto made = with_.make_call(a->what, std::move(j.request));
    if (!made) {
        a->refused = made.error();
        ends(*a);
        return;
    }
    a->request.emplace(std::move(*made));
    a->sink.emplace(*a->request, with_.memory);
    if (stopping_)
        a->sink->ending().request(stop_reason::draining, steady::now());
    spawn(with_.io, "job", serve(std::move(a)));
}

void job_runner::ends(active& a)
{
    a.over = true;
    a.ended_at = unix_ms();
    a.unwritable = !with_.store.trouble().empty();
    wake_.tell();
}

awaitable<void> job_runner::serve(std::shared_ptr<active> a)
{
    // However it ends, also by an exception: it does not run any more.
    struct leaving {
        ~leaving() { self.ends(one); }
        job_runner& self;
        active& one;
    } here{*this, *a};
    co_await with_.calls.serve(*a->request, *a->sink);
}

// Whatever says that it runs and does not; and what has been kept long enough.
awaitable<bool> job_runner::sweep()
{
    auto settings = with_.settings();
    auto mine = std::make_shared<std::vector<std::int64_t>>();
    for (const auto& [number, a] : active_)
        mine->push_back(number);
    auto me = with_.store.runner();
    auto most = settings->jobs.max_attempts;
    auto work = [me, mine, most](job_store& s) { return s.sweep(me, *mine, unix_ms(), most); };
    auto found = co_await with_.store.ask(std::move(work));
    if (!found)
        co_return false;
    if (found->all() != 0)
        log::warn("jobs that nobody ran", {{"begun_again", found->again},
                                           {"failed", found->failed},
                                           {"cancelled", found->cancelled}});
    sweep_due_ = steady::now() + sweep_every;
    if (settings->jobs.retention.count() == 0)
        co_return true;
    constexpr unsigned at_once = 200;
    auto before = unix_ms() - settings->jobs.retention.count();
    for (std::size_t forgotten = at_once, rounds = 0; forgotten == at_once && rounds < 50;
         ++rounds) {
        auto forget = [before](job_store& s) { return s.forget(before, at_once); };
        auto gone = co_await with_.store.ask(std::move(forget));
        if (!gone)
            co_return false;
        forgotten = *gone;
    }
    co_return true;
}

}  // namespace gateway
