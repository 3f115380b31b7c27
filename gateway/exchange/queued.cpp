// A call that wants a model: its turn, one try after another with what follows from each, and the
// models it falls back to.
#include "call/model_name.hpp"
#include "downstream/keep_alive_value.hpp"
#include "exchange/exchange.hpp"
#include "exchange/live_call.hpp"
#include "exchange/outgoing.hpp"
#include "upstream/ollama.hpp"

#include <algorithm>
#include <functional>

namespace gateway {

std::vector<std::string> exchange::fallbacks_of(const call& c) const
{
    // Never for embeddings and transcriptions: another model's numbers are no substitute.
    if (c.what != kind::generation || c.where == endpoint::transcriptions || c.no_fallback)
        return {};
    const auto* own = settings_for(*c.settings, c.model);
    return own != nullptr ? own->fallbacks : std::vector<std::string>{};
}

// Makes `t` the model whose turn it is, of which the catalogue has just said `found`. False when it
// has no chance: that is recorded, and `last` says why.
bool exchange::prepared(live_call& live, const attempts& tries, target& t, ending& last,
                        fleet::found found)
{
    auto& c = live.what();
    t = target{};
    t.substitute = tries.substituted();
    t.as = t.substitute ? tries.model() : c.facts.model;
    t.model = t.substitute ? canonical_model(tries.model()) : c.model;
    const auto* own = settings_for(*c.settings, t.model);
    bool pinned = own != nullptr && own->pin_options;
    if (t.substitute)
        t.edits.model = t.as;
    bool native = c.words == dialect::native;
    t.edits.strip_load_options = pinned && native;
    if (own != nullptr && own->keep_alive && native)
        t.edits.keep_alive = *own->keep_alive;
    t.lane.options = fleet_.options_of(c, t.model, found, pinned);
    t.lane.model = std::move(found.runner);
    t.lane.barred = t.missing = found.missing;

    std::optional<bad_news> no;
    if (found.listed == catalogue::listed::no) {
        no.emplace();
        no->how = outcome::upstream_status;
        no->status = 404;
        no->body = "{\"error\":\"model '" + t.as + "' not found\"}";
        no->why.message = "model '" + t.as + "' not found";
    } else if (goes_past(tries) && !fleet_.reachable(t.lane)) {
        no = out_of_reach(t);
    } else if (tries.more_models() && fleet_.too_big(t.lane, t.model)) {
        no.emplace();
        no->how = outcome::does_not_fit;
        no->why.message = t.as + " does not fit into the VRAM there is";
    } else {
        no = fleet_.hopeless(t.lane);
    }
    if (!no) {
        live.turns_to(t.model);
        count_fallback(live, t.model);
        return true;
    }
    live.tries(fleet_.at(no->place).name, t.model);
    last = told(*no);
    if (tries.more_models()) {
        // What no upstream has, or none that is up, was not sent (SPEC §7).
        bool sent_nowhere =
            found.listed == catalogue::listed::no || last.how == outcome::connect_failed;
        live.tried(sent_nowhere ? outcome::not_tried : last.how, sent_nowhere ? 0 : last.status,
                   words_of(last));
        live.falls_from(t.model, last.how);
    }
    return false;
}

// The next model that has a chance, after the one whose turn it was; what has none is passed over.
// False when none is left.
awaitable<bool> exchange::next_model(live_call& live, attempts& tries, target& t, ending& last)
{
    while (tries.more_models()) {
        tries.next_model();
        auto name = canonical_model(tries.model());
        auto found = co_await fleet_.find(name);
        if (prepared(live, tries, t, last, std::move(found)))
            co_return true;
    }
    co_return false;
}

// From the model that it fell from to the one that it goes on with, whatever was passed over in
// between. Names that no upstream lists are anybody's: they are counted together.
void exchange::count_fallback(live_call& live, const std::string& to)
{
    auto fall = live.take_fall();
    if (!fall)
        return;
    auto label = [this](const std::string& name) {
        return fleet_.lists(name) ? name : std::string("other");
    };
    counted_.fell_back(label(canonical_model(fall->from)), label(to), word(fall->why));
}

// Bad news for a call that waits is how a try of it ended.
exchange::ending exchange::told(const bad_news& news)
{
    ending e;
    e.how = news.how;
    e.why = news.why;
    e.status = news.status;
    e.unsent = true;
    e.withheld = news.how == outcome::upstream_status;
    e.body = news.body;
    return e;
}

models::wish exchange::wish_of(const call& c, const target& t) const
{
    models::wish w;
    w.runner = t.lane.model;
    w.options = t.lane.options;
    w.as = t.as;
    w.embedding = c.what == kind::embedding;
    // keep_alive 0 in a load request would be an unload; the call itself says it.
    if (auto kept = kept_alive(c, t.edits); read_keep_alive(kept) == keep_alive::other) {
        w.keeps = keep_alive_time(kept);
        w.keep_alive = std::move(kept);
    }
    return w;
}

awaitable<void> exchange::queued(live_call& live, way which, fleet::found known)
{
    attempts tries(live.what().model, fallbacks_of(live.what()));
    target t;
    ending e;
    bool any = prepared(live, tries, t, e, std::move(known));
    if (!any)
        any = co_await next_model(live, tries, t, e);
    if (!any || ended(live)) {
        if (!any)
            finish(live, e);
        co_return;
    }
    std::optional<permit> p;
    if (!line_up(live, which, t, p))
        co_return;
    const auto held = [this, &live, &t, &tries] { return held_for(live, t.lane, tries); };
    live.holds(*p, std::cref(held));
    for (;;) {
        std::unique_ptr<bad_news> news;
        if (!p->granted() || live.ending().requested()) {
            bool go = co_await wait_for_turn(live, *p, t, tries, news);
            if (!go)
                co_return;
        }
        auto place = news ? news->place : p->place();
        if (news) {
            e = heard(live, t, *news);
        } else {
            auto at = next_try(live, *p, tries, t);
            co_await try_once(live, at);
            if (at.end.how == outcome::ok) {
                finish(live, at.end);
                co_return;
            }
            e = std::move(at.end);
        }
        bool more = co_await goes_on(live, *p, tries, t, e, place);
        if (!more && e.how == outcome::client_gone)
            co_await others_first(ready_);  // who leave with it, before it is written down
        if (!more)
            co_return;
        wishes(live, t);
    }
}

// Its place in the queue. False when the queue did not take it: the refusal is told here.
bool exchange::line_up(live_call& live, way which, const target& t, std::optional<permit>& p)
{
    const auto& c = live.what();
    visitor v;
    v.client = c.client;
    v.lane = t.lane;
    v.background = c.background;
    v.errand = which == way::errand;
    if (which == way::embedding)
        v.weight = embedding_weight(c.facts.inputs, largest_pool());
    p.emplace(which == way::embedding ? embeddings_ : generations_, std::move(v));
    if (!admitted(live, *p))
        return false;
    if (!p->granted())
        wishes(live, t);
    return true;
}

// How the load is to be asked for that it waits for.
void exchange::wishes(live_call& live, const target& t)
{
    fleet_.wishes(t.lane, wish_of(live.what(), t));
}

// It waits in vain there.
exchange::ending exchange::heard(live_call& live, const target& t, const bad_news& news)
{
    live.load_failed(news.took);
    live.tries(fleet_.at(news.place).name, t.model, news.took);
    return told(news);
}

unsigned exchange::largest_pool() const
{
    unsigned most = 1;
    for (const auto* s : fleet_.sites())
        most = std::max(most, embeddings_.view().capacity(s->place));
    return most;
}

// Did the queue take it? Else the refusal is told here.
bool exchange::admitted(live_call& live, permit& p)
{
    using answer_of = turnstile::answer;
    if (p.arrival() == answer_of::granted || p.arrival() == answer_of::waiting)
        return true;
    bool late = p.arrival() == answer_of::too_long;
    auto e = refusal(late ? fault_code::queue_timeout : fault_code::queue_full,
                     late ? "it would wait longer than queue.max_wait"
                     : p.arrival() == answer_of::client_full
                         ? "this client already holds its share of the waiting places"
                         : "all waiting places are taken (queue.max_waiting)",
                     p.retry_after());
    counted_.rejected(word(e.why.code));
    finish(live, e);
    return false;
}

// A permit and a model that is ready; or, with `news`, none. False when the call has ended.
awaitable<bool> exchange::wait_for_turn(live_call& live, permit& p, const target& t,
                                        const attempts& tries, std::unique_ptr<bad_news>& news)
{
    const auto& q = live.settings().queue;
    if (!p.granted()) {
        auto until = q.max_wait.count() == 0 ? instant::max() : live.what().arrived + q.max_wait;
        live.queues(p, until, [this, &t] { return fleet_.loading(t.lane); });
        co_await p.turn(live.ending());
    }
    if (ended(live))
        co_return false;
    if (p.granted())
        co_return true;
    if (!p.given_up()) {
        news = p.take_news();
        if (news)
            co_return true;
    }
    bool nowhere = live.held_too_long() && !draining_;
    if (nowhere && goes_past(tries)) {
        news = std::make_unique<bad_news>(out_of_reach(t));
        co_return true;
    }
    auto e = draining_ ? refusal(fault_code::draining, "the gateway is stopping", 5)
             : nowhere ? no_way_to(t.as, t.lane.barred)
                       : refusal(fault_code::queue_timeout, "it has waited for queue.max_wait",
                                 retry_after(p.eta(steady::now())));
    counted_.rejected(word(e.why.code));
    finish(live, e, &fleet_.first_of(t.lane));
    co_return false;
}

// Is a model left to try where an upstream is up? Then nobody waits for one that is down.
bool exchange::goes_past(const attempts& tries) const
{
    return tries.more_models() && fleet_.any_up();
}

// How long a call is held because no upstream that it may go to is up; nothing while one is.
std::optional<duration> exchange::held_for(live_call& live, const lane_key& lane,
                                           const attempts& tries) const
{
    if (fleet_.reachable(lane))
        return std::nullopt;
    return goes_past(tries) ? duration{} : duration(live.settings().queue.hold_upstream);
}

// With the permit it has, which is held on unless it goes well.
exchange::attempt_at exchange::next_try(live_call& live, permit& p, const attempts& tries,
                                        const target& t) const
{
    auto& where = fleet_.at(p.place());
    live.starts(where.loaded.load_within(t.lane.model, live.waits_since()));
    live.tries(where.name, t.model);
    attempt_at at{where, &t, &tries, others(t, p.place()), {}, &p};
    at.context = fleet_.context_to_send(p.place(), t.lane);
    return at;
}

// Places that have the model and where it has not been tried.
place_set exchange::others(const target& t, place_id tried) const
{
    place_set all = 0;
    for (const auto* s : fleet_.sites())
        if (s->health.up() && s->loaded.book().state(t.lane.model) != model_state::stuck)
            all |= place_set(1) << s->place;
    return all & ~t.lane.barred & ~(place_set(1) << tried);
}

awaitable<bool> exchange::goes_on(live_call& live, permit& p, attempts& tries, target& t, ending& e,
                                  place_id at)
{
    auto& where = fleet_.at(at);
    auto left = others(t, at);
    if (e.broke)
        fleet_.doubt(at);
    if (e.how == outcome::connect_failed) {
        if (where.health.up())
            where.health.refused(e.why.message);
        // Nothing of it was done: back to the head of the queue, until an upstream is up again.
        bool held =
            e.unsent && left == 0 && !goes_past(tries) && live.may_still_be_held() && !draining_;
        if (held && !live.ending().requested()) {
            live.tried(e.how, 0, e.why.message);
            counted_.upstream_error(where.name, word(e.how));
            live.holds(p, [this, &live, &t, &tries] { return held_for(live, t.lane, tries); });
            p.put_back();
            co_return true;
        }
    }
    try_end end;
    end.how = e.how;
    end.status = e.status;
    end.busy = e.withheld && says_busy(e.status, e.body);
    end.unsupported = e.body.find("does not support") != std::string::npos;
    end.model_bytes = live.to().at().model_bytes;
    end.own_limit = e.own_limit;
    end.ours = live.ending().requested() || draining_;
    auto next = tries.after(end, left);
    if (next == attempts::next::end) {
        p.finish(std::nullopt);
        finish(live, e);
        co_return false;
    }
    live.tried(e.how, e.status, words_of(e));
    counted_.upstream_error(where.name, end.busy ? "busy" : word(e.how));
    if (next == attempts::next::again) {
        fleet_.busy(at);
        p.put_back();
        co_return true;
    }
    if (next == attempts::next::elsewhere) {
        t.lane.barred |= place_set(1) << at;
    } else {
        live.falls_from(t.model, e.how);
        // Meanwhile it stands for nothing that could be loaded.
        auto parked = t.lane;
        parked.barred = ~place_set(0);
        p.move(parked);
        bool any = co_await next_model(live, tries, t, e);
        if (!any) {
            finish(live, e);
            co_return false;
        }
        if (ended(live))
            co_return false;
    }
    p.move(t.lane);  // it has had its turn: wherever it goes now, it stands first
    co_return true;
}

// In seconds; clients honour one to sixty (clients.md §1). While nobody knows: half of that.
int exchange::retry_after(std::optional<duration> turn)
{
    if (!turn)
        return 30;
    auto whole = std::chrono::ceil<std::chrono::seconds>(*turn).count();
    return static_cast<int>(std::clamp<std::int64_t>(whole, 1, 60));
}

}  // namespace gateway
