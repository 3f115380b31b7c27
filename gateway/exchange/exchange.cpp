#include "exchange/exchange.hpp"

#include "call/model_name.hpp"
#include "exchange/live_call.hpp"
#include "exchange/route.hpp"

namespace gateway {

exchange::exchange(asio::io_context& io, metrics& counted, fleet& upstreams, admission& generations,
                   admission& embeddings)
    : io_(io),
      ready_(ready_set::of(io)),
      clocks_(asio::use_service<alarms>(io)),
      counted_(counted),
      fleet_(upstreams),
      generations_(generations),
      embeddings_(embeddings)
{
}

exchange::ending exchange::refusal(fault_code code, std::string why, int retry_after) const
{
    ending e;
    e.how = outcome::refused;
    e.why = {code, std::move(why), whose::ours, retry::elsewhere, retry_after};
    e.unsent = true;
    return e;
}

// Is it one that goes nowhere? Then it is told here.
bool exchange::turned_away(live_call& live)
{
    const auto& c = live.what();
    if (draining_) {
        finish(live, refusal(fault_code::draining, "the gateway is stopping", 5));
        return true;
    }
    if (c.what == kind::management && !c.upstream.empty() && fleet_.named(c.upstream) == nullptr) {
        auto e = refusal(fault_code::bad_request,
                         "no upstream is called " + c.upstream + " (X-Gateway-Upstream)", 0);
        e.why.by = whose::client;
        e.why.again = retry::no;
        finish(live, e);
        return true;
    }
    return false;
}

awaitable<void> exchange::serve(call& c, sink& to)
{
    live_call live({clocks_, book_, counted_, messages_}, c, to);
    if (turned_away(live))
        co_return;
    route_facts facts;
    facts.what = c.what;
    facts.cloud = is_cloud(c.facts.model);
    bool wants = c.what == kind::generation || c.what == kind::embedding || c.what == kind::load ||
                 c.what == kind::unload;
    std::optional<fleet::found> known;
    if (wants && !facts.cloud) {
        known = fleet_.find_now(c.model);
        if (!known) {
            auto found = co_await fleet_.find(c.model);
            known = std::move(found);
        }
        live.labelled(known->listed == catalogue::listed::yes);
        facts.cloud = known->remote;
        // What has fallbacks is not lost when no upstream has it.
        facts.known_not = known->listed == catalogue::listed::no && fallbacks_of(c).empty();
        if (ended(live))
            co_return;
    } else if (!c.model.empty()) {
        live.labelled(fleet_.lists(c.model));
    }
    if (c.what == kind::information && fleet_.sites().size() > 1) {
        bool done = co_await answered_for_all(live);
        if (done)
            co_return;
        co_await learn_model(live);
        if (ended(live))
            co_return;
    }
    auto which = route(facts);
    bool of_a_model = c.what != kind::management && !c.model.empty() && !facts.cloud;
    if (which == way::straight && of_a_model && fleet_.out_of_reach(c.model)) {
        // Another upstream would say that there is no such model.
        finish(live, no_way_to(c.model, 0));
        co_return;
    }
    if (which == way::straight) {
        co_await straight(live, straight_to(c));
    } else {
        co_await queued(live, which, std::move(*known));  // what waits wants a model
    }
}

// Has the call been ended before it was anywhere? Then everything is said here.
bool exchange::ended(live_call& live)
{
    if (!live.ending().requested())
        return false;
    finish(live, stopped(live, live.ending()));
    return true;
}

// --- what needs no permit ---

// Where it goes: management to the upstream it names, or the first of the configuration; the rest
// to one that has its model, or to the first that is up.
site& exchange::straight_to(const call& c) const
{
    if (c.what == kind::management) {
        if (auto* named = c.upstream.empty() ? nullptr : fleet_.named(c.upstream))
            return *named;
        // What is made of blobs is made where they are.
        auto blobs =
            c.target.starts_with("/api/create") ? blobs_at_.find(c.client) : blobs_at_.end();
        return fleet_.at(blobs != blobs_at_.end() ? blobs->second : 0);
    }
    if (!c.model.empty()) {
        site* has = nullptr;
        for (auto* s : fleet_.sites()) {
            if (!s->health.up() || !s->names.lists(c.model))
                continue;
            if (c.what == kind::unload &&
                s->loaded.book().state(s->names.runner_of(c.model)) == model_state::ready)
                return *s;
            if (has == nullptr)
                has = s;
        }
        if (has != nullptr)
            return *has;
    }
    return fleet_.first();
}

awaitable<void> exchange::straight(live_call& live, site& where)
{
    auto& c = live.what();
    live.starts(duration{});
    live.tries(where.name, c.model);
    attempt_at at{where};
    co_await try_once(live, at);
    const auto& e = at.end;
    if (e.how == outcome::connect_failed)
        where.health.refused(e.why.message);
    bool unloaded = c.what == kind::unload && e.how == outcome::ok;
    finish(live, e);
    if (c.what == kind::management)
        fleet_.forget_tags();
    if (c.target.starts_with("/api/blobs/") && fleet_.sites().size() > 1) {
        constexpr std::size_t most_remembered = 1000;
        if (blobs_at_.size() >= most_remembered)
            blobs_at_.clear();
        blobs_at_[c.client] = where.place;
    }
    if (unloaded)
        where.loaded.unload_asked(where.names.runner_of(c.model));
}

}  // namespace gateway
