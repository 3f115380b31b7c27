#include "bench/sim/world.hpp"

#include "bench/sim/connection.hpp"

namespace sim {

civil wall_clock::now() const
{
    if (fixed)
        return {1767225600, 123456789};  // 2026-01-01
    auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
    return {nanos / 1'000'000'000, static_cast<std::int32_t>(nanos % 1'000'000'000)};
}

world::world(asio::io_context& io, const settings& set)
    : io(io),
      set(set),
      wall{set.fixed_time},
      seen(set.keep_requests),
      sched(set.scheduler,
            {.plan_load =
                 [this](const want& w) {
                     load_plan plan{w.model->load, {}};
                     auto f = faults.take(fault_stage::load, w.model->name, "", true);
                     if (f && f->kind == fault_kind::load_fail) {
                         plan.error = f->text;
                         plan.status = f->status;
                     } else if (f && f->kind == fault_kind::load_hang)
                         plan.takes = duration::max();
                     else if (f)
                         plan.takes += std::chrono::milliseconds(f->ms);
                     return plan;
                 },
             .may_unload =
                 [this](const runner& r) {
                     return !faults.take(fault_stage::unload, r.model->name, "", true);
                 },
             .loaded = [this](const load_report& report) { seen.loaded(report, sched.used()); },
             .unloaded =
                 [this](const runner& r, std::string_view reason) {
                     seen.unloaded(r, reason, steady::now());
                 }}),
      pace(io),
      sched_timer_(io)
{
    for (auto& m : set.models.empty() ? default_models() : set.models)
        models.put(m);
    for (auto& m : set.registry)
        registry.put(m);
}

void world::scheduled()
{
    auto due = stopping ? instant::max() : sched.next_due();
    if (due == instant::max()) {
        sched_timer_.cancel();
        return;
    }
    sched_timer_.expires_at(due);
    sched_timer_.async_wait([this](error_code ec) {
        if (ec || stopping)
            return;
        sched.advance(steady::now());
        scheduled();
    });
}

void world::restart(duration away, connection* asking)
{
    ++seen.restarts;
    refuse(away);
    sched.clear(steady::now());
    scheduled();
    auto all = connections;
    for (auto* one : all)
        if (one != asking)
            one->drop();
}

void world::stop()
{
    stopping = true;
    sched.clear(steady::now());
    scheduled();
    auto all = connections;
    for (auto* one : all)
        one->drop();
}

}  // namespace sim
