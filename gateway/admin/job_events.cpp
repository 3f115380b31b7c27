// GET /gateway/jobs/ID/events: how it waits, its answer as it comes, and how it ended. What is sent
// has been committed, so that an id given to a client means the same after a restart.
#include "admin/job_pages.hpp"
#include "base/text.hpp"
#include "jobs/answer_events.hpp"
#include "jobs/job_json.hpp"
#include "jobs/unix_time.hpp"

namespace gateway {

using namespace std::chrono_literals;

namespace {

constexpr auto look_every = 50ms;  // for changes in the store
constexpr auto tell_every = 1s;    // how it waits
constexpr std::size_t at_once = 256 * 1024;

// A job and what has come of its answer, from `from` on if that is of this run.
struct sight {
    std::optional<job> what;
    job_pieces pieces;
    std::uint64_t before = 0;
};

store_result<sight> look(job_store& s, const std::string& id, const job_scope& whose, event_id from)
{
    // One moment of the store: its run and the pieces of that run.
    transaction moment(s.connection(), transaction::kind::reads);
    sight seen;
    auto found = s.find(id, whose);
    if (!found)
        return found.error();
    seen.what = std::move(*found);
    if (!seen.what)
        return seen;
    if (seen.what->life.state == job_state::queued) {
        auto n = s.before(*seen.what);
        if (!n)
            return n.error();
        seen.before = *n;
        return seen;
    }
    auto at = seen.what->life.run == from.run ? from.at : 0;
    auto got = s.pieces(seen.what->number, at, at_once);
    if (!got)
        return got.error();
    seen.pieces = std::move(*got);
    // What is before was told already.
    auto known = std::min<std::uint64_t>(at - seen.pieces.at, seen.pieces.data.size());
    seen.pieces.data.erase(0, known);
    return seen;
}

}  // namespace

std::string job_pages::status_event(const job& j, std::uint64_t before,
                                    std::string_view languages) const
{
    auto at = room_->runner.waits(j.number);
    queue_status s;
    if (at) {
        s = *at;
    } else if (told_state(j) == job_state::running) {
        s.status = phase::processing;
    } else {
        s.position = std::size_t(before) + 1;
        s.queue_length = std::size_t(room_->store.counts()[job_state::queued]);
    }
    s.waited_ms = std::max<std::int64_t>(0, unix_ms() - j.created_at);
    s.model = j.model;
    s.request_id = j.id;
    std::vector<message_text> texts;
    for (const auto& [language, text] : room_->settings()->queue.message)
        texts.push_back({language, text});
    if (s.position.value_or(0) != 0)
        s.message = queue_message(texts, languages, *s.position, s.waited_ms / 1000);
    return "event: queue_status\ndata: " + payload(s) + "\n\n";
}

awaitable<void> job_pages::events(std::string id, const page_request& r, responder& to)
{
    auto scope = scope_of(r.who);
    auto last = event_id_of(r.head.get("Last-Event-ID"));
    auto from = last.value_or(event_id{});
    std::optional<answer_events> telling;
    memory_budget::share unfinished(room_->memory);  // what of a record has come
    std::uint64_t stamp = 0;
    instant look_due{}, tell_due{};
    for (bool here = true, first = true; here && !room_->draining; first = false) {
        auto now = steady::now();
        if (room_->store.stamp() == stamp && now < look_due) {
            here = co_await to.pause(look_every);
            continue;
        }
        auto wanted = telling ? event_id{from.run, telling->wants()} : from;
        stamp = room_->store.stamp();
        look_due = now + tell_every;
        auto work = [id, scope, wanted](job_store& s) { return look(s, id, scope, wanted); };
        auto seen = co_await room_->store.ask(std::move(work));
        if (!seen && first) {
            to.fail(unusable(seen.error()));
            co_return;
        }
        if (!seen) {
            here = co_await to.pause(tell_every);
            continue;
        }
        if (first && !seen->what) {
            to.fail({fault_code::not_found, "no job of this id", whose::client, retry::no, 0});
            co_return;
        }
        if (first && last && last->end && finished(seen->what->life.state) &&
            last->run == seen->what->life.run) {
            to.whole(204, {}, {});  // it has heard the end: it need not come back
            co_return;
        }
        if (first)
            to.begin_events();
        if (!seen->what) {
            to.event("removed", "{\"id\":" + json_quote(id) + "}");
            break;
        }
        const auto& j = *seen->what;
        std::string out;
        bool runs = j.life.state != job_state::queued;
        if (runs && j.life.run != from.run) {
            // What was told of the run before counts no more.
            if (from.run != 0)
                out += "event: restarted\nid: " + to_text({j.life.run, 0}) +
                       "\ndata: {\"attempt\":" + std::to_string(j.life.attempt) + "}\n\n";
            from = {j.life.run, 0};
            telling.reset();
        }
        bool more = !seen->pieces.data.empty();
        if (runs && (more || finished(j.life.state)) && !telling)
            telling.emplace(j.content_type, from);
        if (more)
            telling->feed(seen->pieces.data, out);
        if (telling && !unfinished.hold(telling->wants() - telling->told().at))
            break;  // it may come back when there is memory
        bool over = finished(j.life.state) && !more;
        if (over && j.life.state == job_state::succeeded)
            telling->finish(out);
        bool waits = !finished(j.life.state) && !telling;
        if (waits && now >= tell_due) {
            out += status_event(j, seen->before, r.head.get(field_name::accept_language));
            tell_due = now + tell_every;
        }
        if (over) {
            auto at = telling ? telling->told() : from;
            at.end = true;
            out += "event: finished\nid: " + to_text(at) + "\ndata: " + job_json(j) + "\n\n";
        }
        if (!out.empty())
            to.events(out);
        if (over)
            break;
        here = co_await to.room();
        if (more)
            stamp = 0;  // there may be more: look again at once
        else if (here)
            here = co_await to.pause(look_every);
    }
    if (to.answered())
        to.end();
    else
        to.fail(
            {fault_code::draining, "the gateway is stopping", whose::ours, retry::elsewhere, 5});
}

}  // namespace gateway
