// One try at an upstream: a connection, the request up, the answer's head; once more on a fresh
// connection when a kept one turns out to have been closed.
#include "base/log.hpp"
#include "downstream/keep_alive_value.hpp"
#include "exchange/exchange.hpp"
#include "exchange/live_call.hpp"
#include "exchange/outgoing.hpp"
#include "upstream/ollama.hpp"

namespace gateway {

// An upload goes up while the answer is already read: an upstream may answer early (a blob it has).
struct exchange::upload_state {
    explicit upload_state(asio::io_context& io) : over(io) {}
    event over;
    bool running = true;
    bool whole = false;
    bool client_failed = false;  // the rest of it never came
    bool not_taken = false;      // the upstream took nothing of it for too long
};

// A connection that was closed while it was idle says so as soon as something is sent on it; one
// that breaks later has had the call, and sending that twice would run it twice.
constexpr auto closed_at_once = std::chrono::milliseconds(100);

// What stopped the work, in the words of an attempt.
exchange::ending exchange::stopped(live_call& live, stop& work) const
{
    ending e;
    auto say = [&](outcome how, fault_code code, std::string text, whose by, retry again,
                   int after) {
        e.how = how;
        e.why = {code, std::move(text), by, again, after};
        return e;
    };
    switch (work.why()) {
        case stop_reason::silent:
            if (live.lost_its_model())
                return say(outcome::timed_out, fault_code::timed_out,
                           live.model() + " has been silent for too long and is taken out of VRAM",
                           whose::upstream, retry::elsewhere, 0);
            [[fallthrough]];
        case stop_reason::too_long: {
            auto passed = std::string_view(live.passed_limit());
            auto limit = passed == "total" ? live.limits().total : live.limit_now();
            e.own_limit = passed == "total";
            return say(outcome::timed_out, fault_code::timed_out,
                       live.model() + " timed out after " + in_seconds(limit) + " s (timeouts." +
                           std::string(passed) + ")",
                       whose::upstream, retry::elsewhere, 0);
        }
        case stop_reason::cancelled:
            return say(outcome::cancelled, fault_code::cancelled, "the call was cancelled",
                       whose::ours, retry::no, 0);
        case stop_reason::draining:
            return say(outcome::cancelled, fault_code::draining, "the gateway is stopping",
                       whose::ours, retry::elsewhere, 5);
        case stop_reason::client_too_slow:
            return say(outcome::client_gone, fault_code::client_gone,
                       "the client read too slowly and was cut (limits.client_buffer)",
                       whose::client, retry::no, 0);
        case stop_reason::memory_full:
            return say(outcome::client_gone, fault_code::client_gone,
                       "what the client had not read was too much and it was cut (limits.memory)",
                       whose::client, retry::no, 0);
        default: break;
    }
    return say(outcome::client_gone, fault_code::client_gone, "the client left", whose::client,
               retry::no, 0);
}

// Its model's watch over it.
void exchange::attend(live_call& live, attempt_at& at, stop& work,
                      std::optional<models::presence>& present) const
{
    const auto& c = live.what();
    if (at.what != nullptr) {
        models::presence::facts f;
        f.runner = at.what->lane.model;
        f.options = at.what->lane.options;
        const auto kept = kept_alive(c, at.what->edits);
        const auto says = read_keep_alive(kept);
        f.unloads = says == keep_alive::zero;
        if (says == keep_alive::other)
            f.keep_alive = keep_alive_time(kept);
        f.streams = c.framed != shape::one_piece;
        f.measured = c.what == kind::generation;
        present.emplace(at.where.loaded, std::move(f), duration{}, [&] {
            if (!work.requested())
                live.loses_its_model();
            work.request(stop_reason::silent, steady::now());
        });
        at.present = &*present;
    }
    if (c.what != kind::management)
        live.watch(at.present, work);
}

// Ended, and how its model has come out of it.
void exchange::leave(live_call& live, models::presence& present, const stop& work,
                     const attempt_at& at)
{
    auto now = steady::now();
    const auto& e = at.end;
    if (e.how == outcome::timed_out)
        counted_.timed_out(work.why() == stop_reason::too_long ? "total" : live.passed_limit());
    if (e.how == outcome::timed_out && work.why() == stop_reason::silent)
        present.expired(work.since(), now);  // the socket is closed by now
    else if (e.how == outcome::upstream_status)
        present.finished(at.ran, now);
}

// A new connection; none when there is no way, as the end of the try then says.
awaitable<lease> exchange::connected(live_call& live, attempt_at& at, stop& work)
{
    auto got = co_await at.where.pool.connect(work, live.limits().connect);
    lease l;
    auto& e = at.end;
    e = {};
    if (got) {
        l = std::move(*got);
    } else if (work.requested()) {
        e = stopped(live, work);
    } else {
        e.how = outcome::connect_failed;
        e.why = {fault_code::no_upstream, got.error().message, whose::upstream, retry::elsewhere,
                 10};
        e.unsent = true;
    }
    co_return l;
}

awaitable<void> exchange::try_once(live_call& live, attempt_at& at)
{
    stop work;  // of this attempt: the call's own end, or a limit passed
    stop::hook on_end(live.ending(), [&] { work.request(live.ending().why(), steady::now()); });
    std::optional<models::presence> present;
    attend(live, at, work, present);
    for (bool fresh : {false, true}) {
        lease l;
        if (!fresh)
            l = at.where.pool.take_idle();
        if (!l)
            l = co_await connected(live, at, work);
        if (!l)
            break;
        bool stale = false;
        {
            stop::hook on_stop(work, [&] { l->close(); });
            co_await send_and_relay(live, at, l, work, stale);
        }
        if (!stale || fresh || live.what().streamed != nullptr)
            break;
        // The upstream had closed an idle connection: the call was not begun there. Once more, on a
        // fresh one; the attempt is told all the same.
        live.tried(at.end.how, 0, "a kept connection had been closed; sent again on a new one");
        live.tries(at.where.name, at.what != nullptr ? at.what->model : live.what().model);
    }
    live.unwatch();
    if (present)
        leave(live, *present, work, at);
}

awaitable<void> exchange::send_upload(call& c, upstream_connection& to, duration patience,
                                      std::shared_ptr<upload_state> s)
{
    bool chunked = !c.streamed_length;
    std::string framed;
    // Or one that hangs holds its client's connection for ever, also when the client has gone.
    alarm bound(io_, [&] {
        s->not_taken = true;
        to.close();
    });
    for (;;) {
        auto piece = co_await c.streamed->next();
        if (piece.empty()) {
            s->client_failed = !c.streamed->complete() && !to.closed();
            break;
        }
        if (to.closed())
            break;
        std::string_view bytes(piece.data(), piece.size());
        if (chunked) {
            char size[20];
            auto n = std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
            framed.assign(size, std::size_t(n)).append(bytes).append("\r\n");
            bytes = framed;
        }
        if (patience != duration{})
            bound.set(steady::now() + patience);
        auto [ec, sent] = co_await to.write(bytes);
        bound.clear();
        if (ec)
            break;  // the upstream has heard enough: its answer says why
    }
    s->whole = c.streamed->complete();
    if (s->client_failed)
        to.close();  // no answer can follow
    if (s->whole && chunked && !to.closed()) {
        auto [ec, sent] = co_await to.write("0\r\n\r\n");
        s->whole = !ec;
    }
    s->running = false;
    s->over.tell();
}

// The client's own bytes are sent, unless a rule names a change (SPEC §4).
std::optional<outgoing> exchange::changed(const call& c, const attempt_at& at)
{
    if (at.what == nullptr)
        return std::nullopt;
    auto edits = at.what->edits;
    edits.num_ctx = at.context;
    return edits.none() ? std::nullopt : std::optional(outgoing_with(c, edits));
}

std::string exchange::head_for(const call& c, const attempt_at& at, const outgoing* other)
{
    std::optional<std::uint64_t> length;
    if (c.streamed != nullptr)
        length = c.streamed_length;
    else if (c.has_body)
        length = other != nullptr ? other->body.size() : c.body.size();
    return request_head(at.where.pool.url(), c.method, c.target,
                        other != nullptr ? other->fields : c.fields, length, c.streamed != nullptr);
}

awaitable<void> exchange::send_and_relay(live_call& live, attempt_at& at, lease& l, stop& work,
                                         bool& stale)
{
    {
        const auto other = changed(live.what(), at);
        const auto head = head_for(live.what(), at, other ? &*other : nullptr);
        // Even when the write fails an answer may be there already; the read tells.
        upstream_connection::parts request{asio::buffer(head),
                                           asio::buffer(other ? other->body : live.what().body)};
        if (!l->write_now(request))
            co_await l->write(request);
    }
    auto& e = at.end;
    if (work.requested()) {
        e = stopped(live, work);
        co_return;
    }
    live.sent();

    std::shared_ptr<upload_state> up;
    if (live.what().streamed != nullptr) {
        up = std::make_shared<upload_state>(io_);
        spawn(io_, "upload", send_upload(live.what(), *l, live.limits().idle, up));
    }
    answer a;
    std::size_t begin = 0, have = 0;
    bool clean = false;
    auto asked_at = steady::now();
    while (!head_has_come(live, at, *l, a, begin, have)) {
        auto got = l->read_now(have);
        while (!got && l->can_tell_of_more()) {
            co_await l->more();
            got = l->read_now(have);
        }
        if (!got)
            got = co_await l->read(have);
        auto [ec, n] = *got;
        have += n;
        if (ec || work.requested()) {
            e = work.requested() ? stopped(live, work)
                                 : lost_before_its_head({l->data(), have}, a.interim, ec);
            break;
        }
    }
    if (e.how == outcome::ok)
        co_await relay(live, at, *l, a, begin, have, work, clean);
    else
        stale = l->used_before && !work.requested() && e.unsent &&
                steady::now() - asked_at < closed_at_once;
    if (up)
        co_await upload_over(live, *l, *up, clean, e);
    if (clean)
        l.keep();
    else
        l->close();
}

// Returns when nothing of the upload is under way any more, the answer having ended like that.
awaitable<void> exchange::upload_over(live_call& live, upstream_connection& to, upload_state& up,
                                      bool& clean, ending& e)
{
    auto& body = *live.what().streamed;
    if (up.running) {
        clean = false;
        to.close();
        body.abandon();
        while (up.running)
            co_await up.over.wait_until();
    }
    if (up.not_taken && e.how == outcome::upstream_failed) {
        e = {};
        e.how = outcome::timed_out;
        e.why = {fault_code::timed_out,
                 "the upstream took nothing of the body for " + in_seconds(live.limits().idle) +
                     " s (timeouts.idle)",
                 whose::upstream, retry::elsewhere, 0};
    } else if (up.client_failed && e.how != outcome::ok && !live.to().at().head_committed) {
        bool broken = body.broken();
        auto code = broken ? fault_code::bad_request : fault_code::client_gone;
        auto why = broken ? "the body's framing is broken, or it came too slowly (limits.body_rate)"
                          : "the client stopped sending";
        e = {};
        e.how = broken ? outcome::refused : outcome::client_gone;
        e.why = {code, why, whose::client, retry::no, 0};
    }
}

// Looks for the head of the answer in the `have` bytes that have come of it: its body begins at
// `begin`. True when it is there, or broken, as the end of the try then says.
bool exchange::head_has_come(live_call& live, attempt_at& at, upstream_connection& c, answer& into,
                             std::size_t& begin, std::size_t& have) const
{
    for (;;) {
        std::string_view seen(c.data(), have);
        auto end = seen.find("\r\n\r\n");
        if (end == std::string_view::npos) {
            bool full = have == upstream_connection::capacity;
            if (full)
                at.end = failed(outcome::upstream_failed,
                                "the upstream's answer is broken: its head is too long");
            return full;
        }
        auto parsed =
            at.where.pool.answers().parse(seen.substr(0, end + 4), live.what().method == "HEAD");
        if (!parsed) {
            at.end = failed(outcome::upstream_failed, parsed.error().message);
            return true;
        }
        if (!parsed->interim) {
            into = std::move(*parsed);
            begin = end + 4;
            return true;
        }
        into.interim = true;
        have -= end + 4;
        std::memmove(c.data(), c.data() + end + 4, have);
    }
}

exchange::ending exchange::lost_before_its_head(std::string_view come, bool interim, error_code why)
{
    auto e = failed(outcome::upstream_failed,
                    "the upstream closed the connection before its answer: " + why.message());
    e.broke = true;
    // What is no beginning of an answer was left over from the one before.
    e.unsent = !interim && !come.starts_with("HTTP/");
    return e;
}

// Of what is the upstream's own doing: outcome::upstream_failed or truncated.
exchange::ending exchange::failed(outcome how, std::string why)
{
    ending e;
    e.how = how;
    e.why = {fault_code::upstream_failed, std::move(why), whose::upstream, retry::elsewhere, 0};
    return e;
}

}  // namespace gateway
