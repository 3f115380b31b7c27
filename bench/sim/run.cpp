#include "bench/sim/run.hpp"

#include <algorithm>

#include "bench/sim/seat.hpp"
#include "bench/sim/strikes.hpp"
#include "bench/sim/token_stream.hpp"

namespace sim {

namespace {

std::int64_t nanos(duration d)
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}

std::string_view phase_name(ticket::phase at)
{
    switch (at) {
        case ticket::phase::queued: return "queued";
        case ticket::phase::evicting: return "evicting";
        case ticket::phase::loading: return "loading";
        case ticket::phase::seated:
        case ticket::phase::refused: break;
    }
    return "slot";
}

// The runner, or null: then everything that was to be said has been said.
awaitable<runner_ptr> find_seat(connection& c, const job& j)
{
    auto& sched = c.at.sched;
    auto who = sched.ask(
        j.wanted,
        [weak = c.weak_from_this()] {
            if (auto alive = weak.lock())
                alive->wake();
        },
        steady::now());
    c.at.scheduled();
    auto waiting = [&] {
        c.phase = phase_name(who->at);
        return who->at != ticket::phase::seated && who->at != ticket::phase::refused;
    };
    while (waiting() && !c.gone())
        co_await c.pause();
    if (waiting()) {
        bool queued = who->at == ticket::phase::queued;
        bool freed = sched.abandon(who, steady::now());
        c.at.scheduled();
        if (!freed && queued)
            co_await c.leak();
        // In an eviction nobody looks at the request's context (sched.go:351).
        while (!freed && waiting() && !c.at.stopping)
            co_await c.pause();
        if (who->at == ticket::phase::seated) {
            sched.finish(*who->seat, steady::now());
            c.at.scheduled();
        }
        co_return nullptr;
    }
    if (who->at == ticket::phase::refused) {
        if (!c.gone())
            co_await say_error(c, j, who->status, who->error);
        co_return nullptr;
    }
    co_return who->seat;
}

// When a call came to the points that its figures tell of. Waiting for a slot is in none of them:
// the prompt's time is llama-server's own account.
struct points {
    instant began;
    instant seated;
    instant slot;
};

totals figures(connection& c, const job& j, int tokens, const points& p, instant prompted)
{
    totals t;
    t.prompt_tokens = j.prompt_tokens;
    t.tokens = tokens;
    t.reason = j.limited ? "length" : "stop";
    auto now = steady::now();
    t.total = nanos(now - p.began);
    t.load = std::max<std::int64_t>(1, nanos(p.seated - p.began));
    t.prompt = std::max<std::int64_t>(1, nanos(prompted - p.slot));
    t.eval = std::max<std::int64_t>(1, nanos(now - prompted));
    if (c.at.set.fixed_time) {
        t.total = 1'000'000'000;
        t.load = 100'000'000;
        t.prompt = 200'000'000;
        t.eval = 700'000'000;
    }
    return t;
}

awaitable<void> run_turns(connection& c, const job& j, seat& here)
{
    for (int i = 0; i < j.turns; ++i)
        here.line_up();
    c.phase = "slot";
    while (!here.turns().empty() && !c.gone()) {
        auto now = steady::now();
        auto next = instant::max();
        for (auto it = here.turns().begin(); it != here.turns().end();) {
            auto& one = *it++;
            if (!one.granted)
                continue;
            c.phase = "prompt";
            if (!one.counted)
                one.done = now + j.wanted.model->prompt;
            here.count(one);
            if (one.done <= now)
                here.give_back(one);
            else
                next = std::min(next, one.done);
        }
        if (!here.turns().empty() && next > steady::now())
            co_await c.pause_until(next);
    }
}

awaitable<void> run_stream(connection& c, const job& j, seat& here, seat::held& slot,
                           const std::optional<fault>& struck, int keep, const points& p)
{
    auto prompted = steady::now();
    if (struck && struck->kind == fault_kind::error_line && keep == 0) {
        totals none;
        co_await strike_whole(c, j, *struck, none);
        co_return;
    }
    c.phase = "streaming";
    co_await c.start_stream(j.says->stream_type(), j.says->stream_fields());
    bool ends = true;
    {
        token_stream tokens(c, j, j.wanted.model->rate);
        tokens.go(struck ? keep : j.tokens);
        while (!tokens.finished() && !c.gone())
            co_await c.pause();
        if (struck && !c.gone() && struck->kind != fault_kind::silent_head) {
            ends = co_await strike(c, j, *struck);
        }
        if (ends && !c.gone()) {
            tokens.go(j.tokens);
            while (!tokens.finished() && !c.gone())
                co_await c.pause();
        }
    }
    if (c.gone()) {
        if (c.at.set.slot_leak && c.phase == "blocked")
            here.lose(slot);
        co_return;
    }
    if (!ends)
        co_return;
    auto t = figures(c, j, j.tokens, p, prompted);
    j.says->last(c, t);
    c.end_stream();
}

awaitable<void> run_whole(connection& c, const job& j, const std::optional<fault>& struck,
                          const points& p)
{
    auto prompted = steady::now();
    c.phase = "answering";
    auto rate = j.wanted.model->rate;
    if (rate > 0 && j.tokens > 0)
        co_await sleep_until(c, prompted + std::chrono::nanoseconds(
                                               static_cast<std::int64_t>(j.tokens * 1e9 / rate)));
    if (c.gone())
        co_return;
    auto t = figures(c, j, j.tokens, p, prompted);
    if (struck && struck->kind == fault_kind::silent_mid && struck->ms == 0) {
        co_await until_gone(c, "silent");
        co_return;
    }
    if (struck && struck->kind != fault_kind::silent_mid &&
        struck->kind != fault_kind::silent_head) {
        co_await strike_whole(c, j, *struck, t);
        co_return;
    }
    if (struck && struck->kind == fault_kind::silent_mid)
        co_await sleep_until(c, steady::now() + std::chrono::milliseconds(struck->ms));
    c.at.seen.tokens += static_cast<std::uint64_t>(j.tokens);
    answer a;
    a.type = j.says->whole_type();
    a.body = j.says->whole(whole_text(c, j, j.tokens), t);
    co_await c.reply(std::move(a));
}

}  // namespace

awaitable<void> run(connection& c, job j)
{
    auto began = steady::now();
    auto& model = *j.wanted.model;
    c.begin_call(model.name);
    in_flight counted(c, model.name);
    auto wrong = c.at.faults.take(fault_stage::before, model.name, c.head.path, !j.load_only);
    if (wrong) {
        co_await strike_before(c, *wrong, j.says.get());
        co_return;
    }
    auto manner = c.at.faults.take(fault_stage::manner, model.name, c.head.path, !j.load_only);
    if (manner)
        apply_manner(c, *manner);

    auto where = co_await find_seat(c, j);
    if (!where)
        co_return;
    points at{began, steady::now(), steady::now()};
    seat here(c, where, model.name);
    if (c.gone())
        co_return;
    if (j.load_only) {
        totals t;
        t.reason = "load";
        answer a;
        a.type = j.says->whole_type();
        a.body = j.says->whole({}, t);
        co_await c.reply(std::move(a));
        finish_manner(c, manner);
        co_return;
    }

    std::optional<fault> struck;
    if (j.embeds) {
        struck = c.at.faults.take(fault_stage::run, model.name, c.head.path, true);
        if (struck) {
            auto& slot = here.line_up();
            c.phase = "slot";
            while (!slot.granted && !c.gone())
                co_await c.pause();
            here.count(slot);
            int keep = 0;
            auto survives = co_await survives_run_fault(c, j, *struck, keep);
            if (!survives)
                co_return;
            here.give_back(slot);
        }
        co_await run_turns(c, j, here);
        if (!c.gone())
            co_await run_whole(c, j, struck, at);
        finish_manner(c, manner);
        co_return;
    }

    auto& slot = here.line_up();
    c.phase = "slot";
    while (!slot.granted && !c.gone())
        co_await c.pause();
    if (c.gone())
        co_return;
    here.count(slot);
    at.slot = steady::now();
    struck = c.at.faults.take(fault_stage::run, model.name, c.head.path, true);
    int keep = j.tokens;
    if (struck) {
        auto survives = co_await survives_run_fault(c, j, *struck, keep);
        if (!survives)
            co_return;
    }
    c.phase = "prompt";
    co_await sleep_until(c, steady::now() + model.prompt);
    if (c.gone())
        co_return;
    if (j.stream)
        co_await run_stream(c, j, here, slot, struck, keep, at);
    else
        co_await run_whole(c, j, struck, at);
    finish_manner(c, manner);
}

}  // namespace sim
