// What the runner knows of its own jobs before the store does: they end, and are ended, though
// nothing can be written.
#include "jobs/job_runner.hpp"

#include <algorithm>

namespace gateway {

void job_runner::amend(job& j) const
{
    auto found = active_.find(j.number);
    if (found == active_.end())
        return;
    const auto& a = *found->second;
    if (j.life.state != job_state::running || j.life.run != a.what.life.run || j.id != a.what.id)
        return;
    j.started_at = sent_at(a);
    if (j.started_at)
        j.started_at = std::max(*j.started_at, j.created_at);
    j.life.cancel_asked = j.life.cancel_asked || a.cancel_asked;
    if (a.sink && a.sink->answering())
        j.content_type = a.sink->content_type();
    // Told as ended before that is on disk only when it cannot be had there.
    if (!a.over || !a.unwritable)
        return;
    auto end = end_of(a);
    auto next = after(j.life, end.how, with_.settings()->jobs.max_attempts);
    if (!next)
        return;
    j.life = *next;
    j.attempts = end.attempts;
    j.heartbeat_at.reset();
    j.error = error_after(*next, end.error);
    if (finished(next->state))
        j.finished_at = std::max({end.at, j.created_at, j.started_at.value_or(0)});
    else
        j.started_at.reset();
}

void job_runner::amend(job_page& p, const job_filter& f, unsigned limit, std::int64_t cursor) const
{
    for (auto& j : p.jobs)
        amend(j);
    if (!f.state)
        return;
    // What is not in that state, as is known here; and what is, and the store does not say so.
    auto last = p.cursor;
    auto known = [&](std::int64_t number) {
        return std::any_of(p.jobs.begin(), p.jobs.end(),
                           [&](const job& j) { return j.number == number; });
    };
    for (const auto& [number, a] : active_) {
        bool on_page = number > last && (cursor == 0 || number < cursor);
        bool meant = f.whose.all || a->what.owner == f.whose.owner;
        if (!on_page || !meant || (f.batch && a->what.batch != f.batch) || known(number))
            continue;
        p.jobs.push_back(a->what);
        amend(p.jobs.back());
    }
    std::erase_if(p.jobs, [&](const job& j) { return told_state(j) != f.state; });
    std::sort(p.jobs.begin(), p.jobs.end(), [](auto& a, auto& b) { return a.number > b.number; });
    if (p.jobs.size() > limit) {
        p.jobs.resize(limit);
        p.cursor = p.jobs.back().number;
    }
}

job_counts job_runner::amended(job_counts c) const
{
    for (const auto& [number, a] : active_) {
        auto now = a->what;
        amend(now);
        c.move(1, told_state(a->what), told_state(now));
    }
    return c;
}

std::optional<job> job_runner::one_of_its_own(std::string_view id, const job_scope& whose) const
{
    for (const auto& [number, a] : active_)
        if (a->what.id == id && whose.sees(a->what)) {
            auto j = a->what;
            amend(j);
            return j;
        }
    return std::nullopt;
}

std::optional<std::string> job_runner::answer_of(const job& j, std::string written) const
{
    auto found = active_.find(j.number);
    if (found == active_.end() || !found->second->sink || found->second->at > written.size())
        return std::nullopt;
    const auto& a = *found->second;
    written.resize(a.at);
    if (telling_)
        for (const auto& r : telling_->reports)
            if (r.number == j.number)
                written += r.data;
    return written + a.sink->held();
}

void job_runner::cancel(std::int64_t number)
{
    auto found = active_.find(number);
    if (found == active_.end())
        return;
    found->second->cancel_asked = true;
    if (found->second->sink)
        found->second->sink->ending().request(stop_reason::cancelled, steady::now());
}

void job_runner::forget(std::int64_t number)
{
    auto found = active_.find(number);
    if (found == active_.end())
        return;
    if (found->second->sink)
        found->second->sink->ending().request(stop_reason::cancelled, steady::now());
    active_.erase(found);
}

}  // namespace gateway
