#include "bench/sim/scheduler.hpp"

#include <algorithm>

namespace sim {

namespace {

// needsReload, sched.go:1381: a request that says nothing of num_gpu takes the runner as it is.
bool fits(const runner& r, const want& wanted)
{
    auto have = r.options;
    auto at = have.find("num_gpu=");
    if (at != std::string::npos && wanted.options.find("num_gpu=") == std::string::npos)
        have.erase(at, have.find(';', at) + 1 - at);
    return have == wanted.options;
}

}  // namespace

scheduler::scheduler(scheduler_limits limits, hooks hooks)
    : limits_(limits), hooks_(std::move(hooks))
{
}

runner_ptr scheduler::find(const std::string& blob) const
{
    for (auto& r : loaded_)
        if (r->model->blob == blob)
            return r;
    return nullptr;
}

std::uint64_t scheduler::used() const
{
    std::uint64_t sum = 0;
    for (auto& r : loaded_)
        sum += r->size_vram;
    return sum;
}

std::vector<runner_ptr> scheduler::loaded() const
{
    return {loaded_.begin(), loaded_.end()};
}

void scheduler::seat(const ticket_ptr& who, const runner_ptr& r)
{
    ++r->refs;
    if (current_ && current_->at == ticket::phase::loading)
        beside_.insert(r->model->name);
    auto& keep = who->wanted.keep_alive;
    // useLoadedRunner, sched.go:483: an explicit keep_alive is in force for everybody, and takes an
    // unload back.
    if (keep && (!r->evicted || limits_.evict_deadlock)) {
        r->session = *keep;
        if (*keep > duration::zero())
            r->evicted = false;
    }
    who->seat = r;
    move(who, ticket::phase::seated);
}

void scheduler::move(const ticket_ptr& who, ticket::phase to)
{
    who->at = to;
    if (who->wake)
        who->wake();
}

void scheduler::refuse(const ticket_ptr& who, int status, std::string error)
{
    who->status = status;
    who->error = std::move(error);
    move(who, ticket::phase::refused);
}

ticket_ptr scheduler::ask(want wanted, std::function<void()> wake, instant now)
{
    auto who = std::make_shared<ticket>();
    who->wanted = std::move(wanted);
    who->wake = std::move(wake);
    auto r = find(who->wanted.model->blob);
    if (r && !r->unloading && fits(*r, who->wanted)) {
        seat(who, r);
    } else if (pending_.size() >= limits_.max_queue) {
        refuse(who, 503, "server busy, please try again.  maximum pending requests exceeded");
    } else {
        pending_.push_back(who);
        pump(now);
    }
    return who;
}

bool scheduler::abandon(const ticket_ptr& who, instant now)
{
    who->abandoned = true;
    switch (who->at) {
        case ticket::phase::queued:
            if (limits_.leak_queued)
                return false;
            std::erase(pending_, who);
            return true;
        case ticket::phase::evicting: return false;
        case ticket::phase::loading:
            // The request that triggered the load owns it (§3.5).
            report_load(who->wanted, "aborted", now);
            load_done_ = instant::max();
            current_.reset();
            pump(now);
            return true;
        case ticket::phase::seated:
        case ticket::phase::refused: return true;
    }
    return true;
}

void scheduler::pump(instant now)
{
    while (!current_ && !pending_.empty()) {
        auto who = pending_.front();
        pending_.pop_front();
        if (who->abandoned)
            continue;  // and nobody tells its handler (sched.go:237)
        step(who, now);
    }
}

void scheduler::step(ticket_ptr who, instant now)
{
    current_ = who;
    if (who->abandoned) {
        current_.reset();
        refuse(who, 499, "request canceled");
        return;
    }
    auto r = find(who->wanted.model->blob);
    if (r && !r->unloading && fits(*r, who->wanted)) {
        current_.reset();
        seat(who, r);
        return;
    }
    if (r) {
        evict(r, who, now);
        return;
    }
    bool full =
        limits_.max_loaded > 0 && loaded_.size() >= static_cast<std::size_t>(limits_.max_loaded);
    bool tight = limits_.vram > 0 && used() + needs(who->wanted) > limits_.vram;
    if (!loaded_.empty() && (full || tight)) {
        // findRunnerToUnload, sched.go:1664: the idle one with the shortest keep_alive, else the
        // shortest.
        auto all = loaded();
        std::stable_sort(all.begin(), all.end(),
                         [](auto& a, auto& b) { return a->session < b->session; });
        auto idle = std::find_if(all.begin(), all.end(), [](auto& one) { return one->idle(); });
        evict(idle != all.end() ? *idle : all.front(), who, now);
        return;
    }
    load(who, now);
}

void scheduler::evict(const runner_ptr& victim, const ticket_ptr& who, instant now)
{
    move(who, ticket::phase::evicting);
    victim_ = victim;
    victim->session = duration::zero();
    victim->evicted = true;
    victim->asked_while_busy = victim->asked_while_busy || !victim->idle();
    if (victim->idle())
        expire(*victim, "evicted", now);
}

void scheduler::load(const ticket_ptr& who, instant now)
{
    move(who, ticket::phase::loading);
    load_started_ = now;
    beside_.clear();
    for (auto& r : loaded_)
        if (!r->idle())
            beside_.insert(r->model->name);
    plan_ =
        hooks_.plan_load ? hooks_.plan_load(who->wanted) : load_plan{who->wanted.model->load, {}};
    load_done_ = plan_.takes == duration::max() ? instant::max() : now + plan_.takes;
    if (load_done_ <= now)
        finish_load(now);
}

void scheduler::finish_load(instant now)
{
    load_done_ = instant::max();
    auto who = current_;
    current_.reset();
    if (!plan_.error.empty()) {
        report_load(who->wanted, "failed", now);
        refuse(who, plan_.status, plan_.error);
    } else {
        auto r = add(who->wanted);
        report_load(who->wanted, "ok", now, r->size_vram);
        seat(who, r);
    }
    pump(now);
}

runner_ptr scheduler::add(const want& wanted)
{
    auto r = std::make_shared<runner>();
    r->model = wanted.model;
    r->options = wanted.options;
    r->context = wanted.context;
    r->slots = slots_of(*wanted.model);
    r->size_vram = r->needs();
    if (limits_.vram > 0)
        r->size_vram = std::min(r->size_vram, limits_.vram - std::min(limits_.vram, used()));
    r->session = limits_.keep_alive;
    loaded_.push_back(r);
    return r;
}

void scheduler::report_load(const want& wanted, std::string_view result, instant now,
                            std::uint64_t size_vram)
{
    if (hooks_.loaded)
        hooks_.loaded({wanted, result, load_started_, now, size_vram, std::move(beside_)});
    beside_.clear();
}

bool scheduler::put(const want& wanted, instant now)
{
    if (find(wanted.model->blob))
        return false;
    auto r = add(wanted);
    r->session = wanted.keep_alive.value_or(limits_.keep_alive);
    r->expires_at = later(now, r->session);
    return true;
}

bool scheduler::drop(const std::string& blob)
{
    auto r = find(blob);
    if (!r || !r->idle() || r->unloading)
        return false;
    loaded_.remove(r);
    return true;
}

void scheduler::finish(runner& r, instant now)
{
    --r.refs;
    if (!r.idle() || r.unloading)
        return;
    if (r.session <= duration::zero()) {
        expire(r, r.evicted ? "evicted" : "request", now);
    } else {
        r.expires_at = later(now, r.session);
    }
}

void scheduler::unload(const std::string& blob, instant now)
{
    auto r = find(blob);
    if (!r || r->unloading)
        return;
    r->session = duration::zero();
    r->expires_at = now;
    r->asked_while_busy = !r->idle();
    if (r->idle())
        expire(*r, r->evicted ? "evicted" : "request", now);
}

void scheduler::expire(runner& r, std::string reason, instant now)
{
    if (r.unloading)
        return;
    if (hooks_.may_unload && !hooks_.may_unload(r)) {
        r.session = duration::zero();  // its timer has fired and is not set again
        return;
    }
    r.unloading = true;
    r.expires_at = now;
    r.gone_at = now + limits_.unload;
    reasons_.emplace_back(&r, std::move(reason));
}

void scheduler::advance(instant now)
{
    if (load_done_ <= now)
        finish_load(now);
    for (auto& r : loaded())
        if (r->idle() && !r->unloading && r->expires_at && *r->expires_at <= now &&
            r->session > duration::zero())
            expire(*r, "keep_alive", now);
    for (auto& r : loaded()) {
        if (!r->unloading || r->gone_at > now)
            continue;
        auto why = std::find_if(reasons_.begin(), reasons_.end(),
                                [&](auto& one) { return one.first == r.get(); });
        auto reason = why->second;
        reasons_.erase(why);
        loaded_.remove(r);
        if (hooks_.unloaded)
            hooks_.unloaded(*r, reason);
        // Whoever goes wakes the loop that waits (unloadedCh), and it looks anew.
        if (victim_) {
            victim_.reset();
            step(current_, now);
        }
    }
    pump(now);
}

instant scheduler::next_due() const
{
    auto due = load_done_;
    for (auto& r : loaded_) {
        if (r->unloading)
            due = std::min(due, r->gone_at);
        else if (r->idle() && r->expires_at && r->session > duration::zero())
            due = std::min(due, *r->expires_at);
    }
    return due;
}

void scheduler::line_up(runner& r, turn& t)
{
    r.line.push_back(&t);
    grant(r);
}

void scheduler::leave_line(runner& r, turn& t)
{
    if (t.granted)
        --r.busy;
    else
        std::erase(r.line, &t);
    t.granted = false;
    grant(r);
}

void scheduler::leak(runner& r)
{
    ++r.leaked;
}

void scheduler::grant(runner& r)
{
    while (r.busy < r.slots && !r.line.empty()) {
        auto* next = r.line.front();
        r.line.pop_front();
        next->granted = true;
        ++r.busy;
        if (next->wake)
            next->wake();
    }
}

void scheduler::clear(instant now)
{
    auto waiting = std::move(pending_);
    pending_.clear();
    if (current_) {
        if (current_->at == ticket::phase::loading)
            report_load(current_->wanted, "aborted", now);
        waiting.push_front(current_);
    }
    current_.reset();
    victim_.reset();
    load_done_ = instant::max();
    for (auto& who : waiting)
        refuse(who, 500, "server stopped");
    for (auto& r : loaded_) {
        r->unloading = true;  // whoever still holds it changes nothing any more
        if (hooks_.unloaded)
            hooks_.unloaded(*r, "restart");
    }
    loaded_.clear();
    reasons_.clear();
}

}  // namespace sim
