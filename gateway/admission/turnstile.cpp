// What may be done with a turnstile, step by step. What a visitor is charged is written on it, so a
// permit comes back as it went out, whatever the limits became meanwhile.

#include "admission/turnstile.hpp"

#include "admission/turnstile_state.hpp"

#include <algorithm>
#include <utility>

namespace gateway {

using queueing::guest;
using queueing::standing;

namespace {

constexpr unsigned max_weight = 1u << 16;

}  // namespace

turnstile::turnstile(limits l, const doors& at, place_id places)
    : state_(std::make_unique<state>(l, at, places))
{
}
turnstile::~turnstile() = default;
turnstile::turnstile(turnstile&&) noexcept = default;
turnstile& turnstile::operator=(turnstile&&) noexcept = default;

turnstile::arrival turnstile::arrive(const visitor& v, instant now)
{
    auto& s = *state_;
    ++s.changes;
    s.grow_old(now);
    const ticket t = ++s.last_ticket;
    guest g;
    g.client = &s.who.named(v.client);
    g.lane = &s.lanes.of(v.lane);
    g.arrived = now;
    g.weight = v.errand ? 0 : std::clamp(v.weight, 1u, max_weight);
    g.turns = s.places.turns(g.weight);
    g.in = v.background ? queueing::flow::background : queueing::flow::interactive;
    s.who.place_at_end(g, t);

    s.look_at_all();
    if (g.lane->empty())
        s.look(*g.lane);
    const auto may_go = g.errand() ? g.lane->doors_open : s.left_by_those_before(g);
    if (const auto p = s.choose(g, may_go)) {
        ++g.client->here;
        s.who.served(g, true);
        s.start(s.run(g), *p, now);
        return {answer::granted, t, *p};
    }
    const auto said = s.refuse_or_wait(g, now);
    if (said.what != answer::waiting) {
        s.maybe_forget(*g.client, *g.lane);
        return said;
    }
    auto& waits = s.room_of(g).emplace(t, g).first->second;
    ++waits.client->here;
    if (!waits.errand())
        s.who.line_up(waits);
    s.who.count_waiting(waits);
    s.lanes.stand_in(waits);
    if (v.background)
        s.young.insert(t);
    ++s.changes;
    return said;
}

std::optional<turnstile::grant> turnstile::next(instant now)
{
    auto& s = *state_;
    ++s.changes;
    s.grow_old(now);
    if (s.errands.empty() && (s.calls.empty() || s.places.all_full()))
        return std::nullopt;
    s.look_at_all();
    const auto going = s.in_turn();
    if (!going.who)
        return std::nullopt;
    s.let_go(*going.who, going.at, now);
    return grant{going.who->where.ticket, going.at};
}

bool turnstile::let_in(ticket t, place_id p, instant now)
{
    auto& s = *state_;
    ++s.changes;
    auto* g = s.find_waiting(t);
    if (!g || !s.places.has(p))
        return false;
    s.look_at_all();
    s.let_go(*g, p, now);
    return true;
}

void turnstile::leave(ticket t)
{
    auto& s = *state_;
    ++s.changes;
    auto* g = s.find_waiting(t);
    if (!g)
        return;
    auto& client = *g->client;
    auto& lane = *g->lane;
    s.lanes.stand_out(*g);
    s.who.give_up(*g, s.lanes);
    s.wait_no_more(*g);
    --client.here;
    s.room_of(*g).erase(t);
    s.maybe_forget(client, lane);
}

void turnstile::finish(ticket t, std::optional<duration> service)
{
    auto& s = *state_;
    ++s.changes;
    const auto at = s.running.find(t);
    if (at == s.running.end())
        return;
    const auto& g = at->second;
    auto& client = *g.client;
    auto& lane = *g.lane;
    s.stop(g);
    if (!g.errand()) {
        s.served_before.note(client.hash, lane.model->hash, g.at);
        if (service)
            lane.model->service.add(*service);
    }
    --client.here;
    s.run_no_more(at);
    s.maybe_forget(client, lane);
}

void turnstile::put_back(ticket t)
{
    auto& s = *state_;
    ++s.changes;
    auto* g = s.find_running(t);
    if (!g)
        return;
    s.stop(*g);
    s.room_of(*g).insert(s.running.extract(t));
    g->where = standing::of(standing::rank::head, g->grant, t);
    g->foreseen_by = 0;
    s.who.count_waiting(*g);
    s.lanes.stand_in(*g);
}

void turnstile::move(ticket t, const lane_key& to)
{
    auto& s = *state_;
    ++s.changes;
    auto* g = s.find_waiting(t);
    if (!g || *g->lane->key == to)
        return;
    auto& from = *g->lane;
    s.lanes.stand_out(*g);
    g->lane = &s.lanes.of(to);
    s.lanes.stand_in(*g);
    s.lanes.maybe_forget(from);
}

void turnstile::set_limits(limits l)
{
    state_->set = l;
}

void turnstile::set_capacity(place_id p, unsigned permits)
{
    if (state_->places.has(p))
        state_->changed().places.capacity(p, permits);
}

void turnstile::limit_model(place_id p, std::string_view model, unsigned n)
{
    if (!state_->places.has(p))
        return;
    auto& m = state_->changed().models.named(model);
    m.limit(p, n);
    state_->models.maybe_forget(m);
}

void turnstile::open(place_id p, bool is_open)
{
    if (state_->places.has(p))
        state_->changed().places.open(p, is_open);
}

std::size_t turnstile::position(ticket t, instant now) const
{
    auto* g = state_->find_waiting(t);
    return g ? state_->position(*g, now) : 0;
}

std::optional<duration> turnstile::eta(ticket t, instant now) const
{
    return state_->until_place(state_->find_waiting(t), now);
}

std::optional<duration> turnstile::eta_of_last(instant now) const
{
    guest* last = nullptr;
    std::size_t longest = 0;
    for (const auto* l : state_->lanes.busy()) {
        if (l->calls.empty())
            continue;
        auto* of_lane = l->calls.rbegin()->second;
        const auto position = state_->position(*of_lane, now);
        if (position > longest) {
            last = of_lane;
            longest = position;
        }
    }
    return state_->until_place(last, now);
}

std::vector<turnstile::lane_view> turnstile::lanes() const
{
    auto busy = state_->lanes.busy();
    std::sort(busy.begin(), busy.end(), [](const auto* one, const auto* other) {
        return one->head()->where < other->head()->where;
    });
    std::vector<lane_view> views;
    views.reserve(busy.size());
    for (const auto* l : busy) {
        const auto& head = *l->head();
        views.push_back({l->key, l->waiting(), head.where.ticket, *head.client->name, head.arrived,
                         l->passed, l->passed_since});
    }
    return views;
}

std::optional<place_id> turnstile::last_served(std::string_view client,
                                               std::string_view model) const
{
    const queueing::text_hash hash;
    return state_->served_before.last(hash(client), hash(model));
}

std::size_t turnstile::waiting() const
{
    return state_->calls.size();
}

std::size_t turnstile::waiting_all() const
{
    return state_->calls.size() + state_->errands.size();
}

std::size_t turnstile::waiting(std::string_view model) const
{
    const auto* m = state_->models.find(model);
    return m ? m->waiting : 0;
}

std::size_t turnstile::waiting_of_client(std::string_view client) const
{
    const auto* c = state_->who.find(client);
    return c ? c->waiting : 0;
}

unsigned turnstile::in_use(place_id p) const
{
    return state_->places.has(p) ? state_->places.in_use(p) : 0;
}

unsigned turnstile::in_use() const
{
    return state_->places.in_use();
}

std::size_t turnstile::running(std::string_view model) const
{
    const auto* m = state_->models.find(model);
    return m ? m->running() : 0;
}

std::size_t turnstile::running(place_id p, std::string_view model) const
{
    const auto* m = state_->places.has(p) ? state_->models.find(model) : nullptr;
    return m ? m->running(p) : 0;
}

unsigned turnstile::capacity(place_id p) const
{
    return state_->places.has(p) ? state_->places.capacity(p) : 0;
}

unsigned turnstile::capacity() const
{
    return state_->places.capacity();
}

std::optional<instant> turnstile::oldest() const
{
    if (state_->calls.empty())
        return std::nullopt;
    return state_->calls.begin()->second.arrived;
}

std::vector<std::string> turnstile::models_waited_for() const
{
    std::vector<std::string> names;
    for (const auto* l : state_->lanes.busy())
        names.push_back(*l->model->name);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

}  // namespace gateway
