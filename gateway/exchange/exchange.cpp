#include "exchange/exchange.hpp"

#include "base/log.hpp"
#include "call/model_name.hpp"
#include "exchange/live_call.hpp"
#include "exchange/route.hpp"

#include <algorithm>

namespace gateway {

namespace {

// In seconds, of which clients honour one to sixty (clients.md §1); while nobody knows, half of
// that.
int retry_after(std::optional<duration> turn)
{
    if (!turn)
        return 30;
    auto whole = std::chrono::ceil<std::chrono::seconds>(*turn).count();
    return static_cast<int>(std::clamp<std::int64_t>(whole, 1, 60));
}

}  // namespace

exchange::exchange(asio::io_context& io, metrics& counted, site& upstream)
    : io_(io), counted_(counted), site_(upstream)
{
}

awaitable<void> exchange::serve(call& c, sink& to)
{
    live_call live({io_, book_, counted_, messages_}, c, to);
    if (draining_) {
        ending refused{
            outcome::refused,
            {fault_code::draining, "the gateway is stopping", whose::ours, retry::elsewhere, 5},
            0,
            true};
        finish(live, refused);
        co_return;
    }
    route_facts facts;
    facts.what = c.what;
    facts.cloud = is_cloud(c.facts.model);
    bool generates = c.what == kind::generation || c.what == kind::embedding;
    if (generates && !facts.cloud) {
        auto found = co_await site_.loaded.find(c.model);
        facts.known_not = found == models::listed::no;
        live.labelled(found == models::listed::yes);
        if (ended(live))
            co_return;
    } else if (!c.model.empty()) {
        live.labelled(site_.loaded.lists(c.model));
    }
    auto which = route(facts);
    if (which == way::straight)
        co_await straight(live);
    else
        co_await queued(live, which == way::embedding);
}

// Has the call been ended before it was anywhere? Then everything is said here.
bool exchange::ended(live_call& live)
{
    if (!live.ending().requested())
        return false;
    finish(live, stopped(live, live.ending(), site_.pool.url()));
    return true;
}

awaitable<void> exchange::straight(live_call& live)
{
    auto& c = live.what();
    live.starts();
    live.tries(site_.name);
    auto e = co_await try_once(live, nullptr);
    if (e.how == outcome::connect_failed)
        site_.health.refused(e.why.message);
    finish(live, e);
    if (c.what == kind::management)
        site_.loaded.forget_tags();
}

awaitable<void> exchange::queued(live_call& live, bool embedding)
{
    auto& c = live.what();
    auto& at = embedding ? site_.embeddings : site_.generations;
    visitor v;
    v.client = c.client;
    v.model = c.model;
    v.background = c.background;
    if (embedding)
        v.weight = embedding_weight(c.facts.inputs, at.view().capacity());
    permit p(at, std::move(v));
    using answer_of = turnstile::answer;
    if (p.arrival() != answer_of::granted && p.arrival() != answer_of::waiting) {
        bool late = p.arrival() == answer_of::too_long;
        ending refused{outcome::refused,
                       {late ? fault_code::queue_timeout : fault_code::queue_full,
                        late ? "it would wait longer than queue.max_wait"
                        : p.arrival() == answer_of::client_full
                            ? "this client already holds its share of the waiting places"
                            : "all waiting places are taken (queue.max_waiting)",
                        whose::ours, retry::elsewhere, p.retry_after()},
                       0,
                       true};
        counted_.rejected(word(refused.why.code));
        finish(live, refused);
        co_return;
    }
    live.holds([this] { return !site_.health.up(); }, live.settings().queue.hold_upstream);
    std::optional<instant> first_refusal;
    for (;;) {
        if (!co_await wait_for_turn(live, p, at))
            co_return;
        live.starts();
        auto began = steady::now();
        live.tries(site_.name);
        auto e = co_await try_once(live, &c.model);
        if (e.how == outcome::connect_failed && !first_refusal)
            first_refusal = began;
        bool held = e.how == outcome::connect_failed && e.unsent &&
                    steady::now() - *first_refusal < live.settings().queue.hold_upstream;
        if (held && !live.ending().requested() && !draining_) {
            // Nothing of it was done: back to the head of the queue, until an upstream is up again.
            live.tried(e.how, 0, e.why.message);
            site_.health.refused(e.why.message);
            live.holds([this] { return !site_.health.up(); }, live.settings().queue.hold_upstream);
            p.put_back();
            continue;
        }
        p.finish(e.how == outcome::ok ? std::optional<duration>(steady::now() - began)
                                      : std::nullopt);
        finish(live, e);
        co_return;
    }
}

awaitable<bool> exchange::wait_for_turn(live_call& live, permit& p, admission& at)
{
    const auto& q = live.settings().queue;
    if (!p.granted()) {
        auto until = q.max_wait.count() == 0 ? instant::max() : live.what().arrived + q.max_wait;
        live.queues(p, at, until);
        co_await p.turn(live.ending());
    }
    if (ended(live))
        co_return false;
    std::optional<ending> refused;
    if (!p.granted()) {
        if (draining_)
            refused = ending{
                outcome::refused,
                {fault_code::draining, "the gateway is stopping", whose::ours, retry::elsewhere, 5},
                0,
                true};
        else if (live.held_too_long())
            refused = ending{outcome::refused,
                             {fault_code::no_upstream, "no upstream is up: " + site_.health.why(),
                              whose::upstream, retry::elsewhere, 10},
                             0,
                             true};
        else
            refused = ending{outcome::refused,
                             {fault_code::queue_timeout, "it has waited for queue.max_wait",
                              whose::ours, retry::elsewhere, retry_after(p.eta(steady::now()))},
                             0,
                             true};
        counted_.rejected(word(refused->why.code));
    } else if (site_.loaded.of(live.what().model) == models::condition::stuck) {
        live.tries(site_.name);
        refused = ending{outcome::stuck,
                         {fault_code::model_stuck,
                          live.what().facts.model +
                              " hangs at the upstream and could not be unloaded; it is tried again"
                              " when it is gone",
                          whose::upstream, retry::elsewhere, 30},
                         0,
                         true};
    }
    if (!refused)
        co_return true;
    finish(live, *refused);
    co_return false;
}

// The verdict: told to the client unless it has had its answer, and kept in the record.
void exchange::finish(live_call& live, const ending& e)
{
    if (live.attempts().empty() && e.how == outcome::refused) {
        // What was never sent is told with its reason too (SPEC §7).
        live.tries(site_.name);
        live.tried(outcome::not_tried, 0, e.why.message);
    }
    bool an_attempt = !live.attempts().empty() && e.how != outcome::refused;
    if (an_attempt)
        live.tried(e.how, e.status, e.how == outcome::ok ? std::string() : e.why.message);
    if (e.how == outcome::client_gone)
        live.to().cut();
    live.ends(e.how);
    if (e.how == outcome::ok || e.how == outcome::client_gone || e.how == outcome::upstream_status)
        return;
    if (an_attempt && e.how != outcome::cancelled)
        counted_.upstream_error(site_.name, word(e.how));
    if (!live.to().at().head_committed)
        live.refused(http_status(e.why.code, live.what().words));
    live.to().fail(e.why, live.attempts(), live.times());
}

void exchange::refuse_new()
{
    draining_ = true;
    for (auto& v : book_.live(steady::now()))
        if (auto* c = book_.find(v.id))
            c->leave_queue();
}

void exchange::end_all(stop_reason why)
{
    for (auto& v : book_.live(steady::now()))
        if (auto* c = book_.find(v.id))
            c->ending().request(why, steady::now());
}

bool exchange::cancel(std::string_view id)
{
    auto* c = book_.find(id);
    if (c == nullptr)
        return false;
    c->ending().request(stop_reason::cancelled, steady::now());
    return true;
}

}  // namespace gateway
