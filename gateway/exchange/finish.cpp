// How calls end: the verdict told and kept, and all of them when the gateway stops. And what is
// told to all that there are.
#include "base/text.hpp"
#include "call/model_name.hpp"
#include "exchange/exchange.hpp"
#include "exchange/live_call.hpp"
#include "jobs/upstream_words.hpp"

namespace gateway {

exchange::ending exchange::no_way_to(const std::string& model, place_set barred) const
{
    return refusal(
        fault_code::no_upstream,
        (fleet_.any_up() ? "no upstream that has " + model + " is up: " : "no upstream is up: ") +
            fleet_.why_down(barred),
        10);
}

bad_news exchange::out_of_reach(const target& t) const
{
    bad_news no;
    no.place = fleet_.first_of(t.lane).place;
    no.how = outcome::connect_failed;
    no.why = no_way_to(t.as, t.lane.barred).why;
    return no;
}

// What is told of an attempt: an upstream's own words when it had some.
std::string exchange::words_of(const ending& e)
{
    constexpr std::size_t longest = 1000;
    if (!e.withheld)
        return e.why.message;
    auto words = upstream_words(e.body, e.status);
    return words.size() <= longest ? words : to_valid_utf8(words.substr(0, longest));
}

// The verdict: told to the client unless it has had its answer, and kept in the record.
void exchange::finish(live_call& live, const ending& e, const site* at)
{
    bool never_tried = e.how == outcome::refused || live.attempts_made().empty();
    if (never_tried && e.how != outcome::ok && !live.attempt_open() && live.tells_attempts()) {
        // What was never sent is told with its reason too (SPEC §7).
        live.tries((at != nullptr ? *at : fleet_.first()).name, canonical_model(live.model()));
        live.tried(outcome::not_tried, 0, e.why.message);
    }
    bool an_attempt = live.attempt_open() && e.how != outcome::refused;
    if (an_attempt)
        live.tried(e.how, e.status, e.how == outcome::ok ? std::string() : words_of(e));
    live.to().attempted(live.attempts_made());
    if (e.how == outcome::client_gone)
        live.to().cut();
    live.ends(e.how);
    if (e.withheld) {
        counted_.upstream_error(live.attempts_made().back().upstream, word(e.how));
        if (!live.to().at().head_committed)
            live.refused(e.status);
        live.to().fail_with(e.status, e.body, live.attempts_made(), live.times());
        return;
    }
    if (e.how == outcome::ok || e.how == outcome::client_gone || e.how == outcome::upstream_status)
        return;
    if (an_attempt && e.how != outcome::cancelled)
        counted_.upstream_error(live.attempts_made().back().upstream, word(e.how));
    if (!live.to().at().head_committed)
        live.refused(http_status(e.why.code, live.what().words));
    live.to().fail(e.why, live.attempts_made(), live.times());
}

void exchange::refuse_new()
{
    draining_ = true;
    for (auto* c : book_.all())
        c->leave_queue();
}

void exchange::end_all(stop_reason why)
{
    for (auto* c : book_.all())
        c->ending().request(why, steady::now());
}

void exchange::log_all_as_cut() const
{
    for (const auto* c : book_.all())
        c->log_as_cut();
}

void exchange::upstreams_changed()
{
    for (auto* c : book_.all())
        c->upstreams_changed();
}

bool exchange::cancel(std::string_view id)
{
    auto* found = book_.find(id);
    if (found == nullptr)
        return false;
    bool any = false;
    for (auto* c : book_.all()) {
        if (c->id() == id && c->same_client(*found) && !c->over()) {
            c->ending().request(stop_reason::cancelled, steady::now());
            any = true;
        }
    }
    return any;
}

}  // namespace gateway
