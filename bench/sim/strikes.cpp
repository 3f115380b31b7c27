#include "bench/sim/strikes.hpp"

#include <algorithm>

#include "bench/sim/token_stream.hpp"

namespace sim {

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

awaitable<void> say_error(connection& c, const job& j, int status, std::string message)
{
    answer a;
    a.status = status;
    a.type = j.says->error_type();
    a.body = j.says->error(status, message);
    co_await c.reply(std::move(a));
}

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

awaitable<void> strike_before(connection& c, const fault& f, const dialect* says)
{
    switch (f.kind) {
        case fault_kind::hang: co_await until_gone(c, "silent"); break;
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
