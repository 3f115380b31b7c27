#include "bench/sim/run.hpp"

#include <algorithm>
#include <charconv>
#include <deque>

namespace sim {

namespace {

std::int64_t nanos(duration d)
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}

// A fixed-width CLOCK_MONOTONIC nanosecond.
std::string_view stamp(std::array<char, 20>& into)
{
    into.fill('0');
    char digits[20];
    auto end =
        std::to_chars(digits, digits + sizeof digits, nanos(steady::now().time_since_epoch())).ptr;
    std::copy(digits, end, into.end() - (end - digits));
    return {into.data(), into.size()};
}

// Sends tokens at their times until `upto` are out, no faster than the client's socket takes them.
class token_stream final : public paced {
public:
    token_stream(connection& c, const job& j, double rate)
        : c_(c), j_(j), rate_(rate), started_(steady::now())
    {
    }
    ~token_stream()
    {
        c_.when_drained(nullptr);
        c_.at.pace.cancel(*this);
    }
    token_stream(const token_stream&) = delete;
    token_stream& operator=(const token_stream&) = delete;

    // Streams on until `upto` tokens have been sent in all.
    void go(int upto)
    {
        upto_ = upto;
        c_.when_drained(this);
        due(steady::now());
    }
    bool finished() const { return sent_ >= upto_; }
    int sent() const { return sent_; }

    void due(instant now) override
    {
        constexpr int burst = 16;
        for (int n = 0; !finished() && !c_.gone(); ++n) {
            if (c_.blocked()) {
                c_.phase = "blocked";
                return;
            }
            c_.phase = "streaming";
            auto when = rate_ > 0 ? started_ + std::chrono::nanoseconds(
                                                   static_cast<std::int64_t>(sent_ * 1e9 / rate_))
                                  : now;
            if (when > now + std::chrono::microseconds(250) || n == burst) {
                c_.at.pace.at(when, *this);
                return;
            }
            std::array<char, 20> digits;
            j_.says->piece(c_, c_.at.set.stamp ? stamp(digits) : token_text(j_.seed, sent_));
            ++sent_;
            ++c_.at.seen.tokens;
        }
        c_.wake();
    }

private:
    connection& c_;
    const job& j_;
    double rate_;
    instant started_;
    int upto_ = 0;
    int sent_ = 0;
};

// A place at a runner and the slots held there; given back when it goes.
class seat {
public:
    seat(connection& c, runner_ptr r, const std::string& model)
        : c_(c), runner_(std::move(r)), model_(model)
    {
    }
    ~seat()
    {
        while (!turns_.empty())
            give_back(turns_.front());
        c_.at.sched.finish(*runner_, steady::now());
        c_.at.scheduled();
    }
    seat(const seat&) = delete;
    seat& operator=(const seat&) = delete;

    struct held : turn {
        bool counted = false;
        instant done{};
    };

    held& line_up()
    {
        auto& one = turns_.emplace_back();
        one.wake = [this] { c_.wake(); };
        c_.at.sched.line_up(*runner_, one);
        return one;
    }
    void count(held& one)
    {
        if (std::exchange(one.counted, true))
            return;
        ++c_.at.seen.runs;
        c_.at.seen.all_running.up();
        c_.at.seen.running(model_).up();
    }
    void give_back(held& one)
    {
        uncount(one);
        c_.at.sched.leave_line(*runner_, one);
        turns_.remove_if([&](auto& other) { return &other == &one; });
    }
    // The slot stays taken and nobody has it.
    void lose(held& one)
    {
        uncount(one);
        ++c_.at.seen.leaked_slots;
        c_.at.sched.leak(*runner_);
        turns_.remove_if([&](auto& other) { return &other == &one; });
    }
    std::list<held>& turns() { return turns_; }

private:
    void uncount(held& one)
    {
        if (!one.counted)
            return;
        c_.at.seen.all_running.down();
        c_.at.seen.running(model_).down();
        one.counted = false;
    }

    connection& c_;
    runner_ptr runner_;
    std::string model_;
    std::list<held> turns_;
};

// Counts a request as long as its handler works.
class in_flight {
public:
    in_flight(connection& c, const std::string& model) : c_(c), model_(model)
    {
        c.at.seen.all_in_flight.up();
        c.at.seen.in_flight(model_).up();
    }
    ~in_flight()
    {
        c_.at.seen.all_in_flight.down();
        c_.at.seen.in_flight(model_).down();
    }
    in_flight(const in_flight&) = delete;
    in_flight& operator=(const in_flight&) = delete;

private:
    connection& c_;
    std::string model_;
};

awaitable<void> say_error(connection& c, const job& j, int status, std::string message)
{
    answer a;
    a.status = status;
    a.type = j.says->error_type();
    a.body = j.says->error(status, message);
    co_await c.reply(std::move(a));
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

awaitable<void> until_gone(connection& c, std::string_view phase)
{
    c.phase = phase;
    while (!c.gone())
        co_await c.pause();
}

awaitable<void> sleep_until(connection& c, instant when)
{
    while (!c.gone() && steady::now() < when)
        co_await c.pause_until(when);
}

// False when the fault was all there is to this request.
awaitable<bool> survives_run_fault(connection& c, const job& j, const fault& f, int& keep)
{
    keep = std::min(keep, f.after);
    if (f.kind != fault_kind::silent_head)
        co_return true;
    if (f.ms == 0) {
        co_await until_gone(c, "silent");
        co_return false;
    }
    c.phase = "silent";
    keep = j.tokens;
    co_await sleep_until(c, steady::now() + std::chrono::milliseconds(f.ms));
    co_return !c.gone();
}

// What a fault of the middle does, once its tokens are out. True: the run goes on.
awaitable<bool> strike(connection& c, const job& j, const fault& f)
{
    switch (f.kind) {
        case fault_kind::silent_mid:
            if (f.ms == 0) {
                co_await until_gone(c, "silent");
                co_return false;
            }
            c.phase = "silent";
            co_await sleep_until(c, steady::now() + std::chrono::milliseconds(f.ms));
            co_return !c.gone();
        case fault_kind::reset_mid:
            co_await c.until_drained();
            c.reset_now();
            break;
        case fault_kind::early_end: c.cut(); break;
        case fault_kind::bad_chunk:
            c.raw("zz\r\nnot a chunk\r\n");
            c.cut();
            break;
        case fault_kind::error_line:
            j.says->broken(c, f.text);
            c.end_stream();
            break;
        case fault_kind::no_done: c.end_stream(); break;
        default: co_return true;
    }
    co_return false;
}

totals figures(connection& c, const job& j, int tokens, instant began, instant seated,
               instant prompted)
{
    totals t;
    t.prompt_tokens = j.prompt_tokens;
    t.tokens = tokens;
    t.reason = j.limited ? "length" : "stop";
    auto now = steady::now();
    t.total = nanos(now - began);
    t.load = std::max<std::int64_t>(1, nanos(seated - began));
    t.prompt = std::max<std::int64_t>(1, nanos(prompted - seated));
    t.eval = std::max<std::int64_t>(1, nanos(now - prompted));
    if (c.at.set.fixed_time) {
        t.total = 1'000'000'000;
        t.load = 100'000'000;
        t.prompt = 200'000'000;
        t.eval = 700'000'000;
    }
    return t;
}

std::string whole_text(connection& c, const job& j, int tokens)
{
    std::string text;
    std::array<char, 20> digits;
    for (int i = 0; i < tokens; ++i)
        text += c.at.set.stamp ? stamp(digits) : token_text(j.seed, i);
    return text;
}

// A one-piece answer that a fault of the middle struck.
awaitable<void> strike_whole(connection& c, const job& j, const fault& f, totals t)
{
    if (f.kind == fault_kind::reset_mid) {
        c.reset_now();
        co_return;
    }
    if (f.kind == fault_kind::error_line) {
        answer a;
        a.status = 500;
        a.type = "application/json";
        a.body = j.says->error(500, f.text);
        co_await c.reply(std::move(a));
        co_return;
    }
    t.done = false;
    auto body = j.says->whole(whole_text(c, j, std::min(f.after, j.tokens)), t);
    if (f.kind == fault_kind::no_done) {
        answer a;
        a.type = j.says->whole_type();
        a.body = std::move(body);
        co_await c.reply(std::move(a));
        co_return;
    }
    // Cut in its middle: the head promises more than comes.
    co_await c.start_stream(j.says->whole_type());
    c.frame(std::string_view(body).substr(0, body.size() / 2));
    if (f.kind == fault_kind::bad_chunk)
        c.raw("zz\r\nnot a chunk\r\n");
    c.cut();
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
                           const std::optional<fault>& struck, int keep, instant began,
                           instant seated)
{
    auto prompted = steady::now();
    if (struck && struck->kind == fault_kind::error_line && keep == 0) {
        co_await strike_whole(c, j, *struck, {});
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
    auto t = figures(c, j, j.tokens, began, seated, prompted);
    j.says->last(c, t);
    c.end_stream();
}

awaitable<void> run_whole(connection& c, const job& j, const std::optional<fault>& struck,
                          instant began, instant seated)
{
    auto prompted = steady::now();
    c.phase = "answering";
    auto rate = j.wanted.model->rate;
    if (rate > 0 && j.tokens > 0)
        co_await sleep_until(c, prompted + std::chrono::nanoseconds(
                                               static_cast<std::int64_t>(j.tokens * 1e9 / rate)));
    if (c.gone())
        co_return;
    auto t = figures(c, j, j.tokens, began, seated, prompted);
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
    auto seated = steady::now();
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
            co_await run_whole(c, j, struck, began, seated);
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
        co_await run_stream(c, j, here, slot, struck, keep, began, seated);
    else
        co_await run_whole(c, j, struck, began, seated);
    finish_manner(c, manner);
}

// --- faults of the whole answer
// -------------------------------------------------------------------

awaitable<void> strike_before(connection& c, const fault& f, const dialect* says)
{
    switch (f.kind) {
        case fault_kind::hang:
        case fault_kind::ps_hang: co_await until_gone(c, "silent"); break;
        case fault_kind::garbage:
            c.raw("\x16\x03\x01 this is not HTTP\r\n\r\n\xff\xfe");
            c.cut();
            break;
        case fault_kind::reset_head: c.reset_now(); break;
        case fault_kind::close_head: c.cut(); break;
        default: {
            answer a;
            a.status = f.status;
            a.type = says != nullptr ? says->error_type() : "application/json; charset=utf-8";
            a.body = says != nullptr ? says->error(f.status, f.text) : native_error(f.text);
            co_await c.reply(std::move(a));
        }
    }
}

void apply_manner(connection& c, const fault& f)
{
    if (f.kind == fault_kind::slow)
        c.drip(std::chrono::milliseconds(f.ms > 0 ? f.ms : 10));
    else if (f.kind == fault_kind::split)
        c.split_chunks(static_cast<std::size_t>(f.size));
}

void finish_manner(connection& c, const std::optional<fault>& f)
{
    if (!f || c.gone())
        return;
    if (f->kind == fault_kind::extra_after)
        c.raw("extra bytes that nobody asked for\r\n");
    if (f->kind == fault_kind::extra_after || f->kind == fault_kind::close_after)
        c.cut();
}

}  // namespace sim
