// Who goes next, who may wait, and for how long. What a visitor is charged is written on it, so a
// permit comes back as it went out, whatever the limits became meanwhile.

#include "admission/turnstile.hpp"

#include "admission/clients.hpp"
#include "admission/estimate.hpp"
#include "admission/guest.hpp"
#include "admission/model_lanes.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace gateway {

using queueing::guest;
using queueing::place;

namespace {

// A background visitor that has waited this long is ordered as if it had come as an interactive.
constexpr duration ages_after = std::chrono::minutes(30);
// Assumed until a place frees, while nothing is known of the models.
constexpr duration assumed_wait = std::chrono::seconds(5);
constexpr unsigned max_weight = 1u << 16;

}  // namespace

struct turnstile::state {
    limits set;
    bool is_open = true;
    ticket last_ticket = 0;
    std::uint64_t grants = 0;
    unsigned in_use = 0;
    std::map<ticket, guest> waiting;
    std::map<ticket, guest> running;
    std::set<ticket> young;  // background visitors that have not aged yet
    queueing::clients who;
    queueing::model_lanes lanes;

    // The first in order of those whose model may start; visitors of the others keep their place.
    // If the first needs more permits than are free, nobody behind it goes: the permits are kept
    // for it.
    guest* in_turn() const
    {
        guest* first = nullptr;
        for (const auto* m : lanes.busy()) {
            if (!m->may_start())
                continue;
            auto* head = m->order.begin()->second;
            if (!first || head->where < first->where)
                first = head;
        }
        return first;
    }

    unsigned charge(const guest& g) const { return std::min(g.weight, std::max(1u, set.capacity)); }
    bool fits(const guest& g) const
    {
        const auto free = set.capacity - std::min(set.capacity, in_use);
        return charge(g) <= free;
    }

    void grow_old(instant now)
    {
        while (!young.empty()) {
            auto& g = waiting.at(*young.begin());
            if (now - g.arrived < ages_after)
                return;
            young.erase(young.begin());
            lanes.stand_out(g);
            who.grow_old(g);
            lanes.stand_in(g);
        }
    }

    void start(guest& g, instant now)
    {
        g.charged = charge(g);
        g.started = now;
        g.grant = ++grants;
        in_use += g.charged;
        ++g.client->running;
        ++g.model->running;
        g.model->used = grants;
        who.forget_some();
    }

    void stop(guest& g)
    {
        in_use -= g.charged;
        --g.client->running;
        --g.model->running;
    }

    void maybe_forget(queueing::client_lines& c, queueing::model_lane& m)
    {
        lanes.maybe_forget(m);
        if (waiting.empty() && running.empty())
            who.forget_all();
        else
            who.maybe_forget(c);
    }

    // Until a visitor of that weight at that place starts. None when a model that comes before it
    // has no average yet, or when nothing can start.
    std::optional<duration> until_start(const place& where, const queueing::model_lane& own,
                                        unsigned weight, instant now) const
    {
        if (!is_open || own.blocked || set.capacity == 0)
            return std::nullopt;
        double permits_ahead = 0;
        double work = 0;  // permits times clock ticks
        std::size_t own_ahead = 0;
        for (const auto* m : lanes.busy()) {
            const auto ahead = m->order.order_of_key(where);
            if (m == &own)
                own_ahead = ahead;
            if (ahead == 0)
                continue;
            if (!m->service.known())
                return std::nullopt;
            const auto mean_weight = std::min<double>(
                static_cast<double>(m->waiting_weight) / static_cast<double>(m->order.size()),
                set.capacity);
            const auto permits = static_cast<double>(ahead) * mean_weight;
            permits_ahead += permits;
            work += permits * static_cast<double>(m->service.value().count());
        }
        std::vector<queueing::expected_return> all;
        std::vector<queueing::expected_return> same;
        all.reserve(running.size());
        for (const auto& [t, g] : running) {
            if (!g.model->service.known())
                return std::nullopt;
            const auto left = g.model->service.left_after(now - g.started);
            all.push_back({left, g.charged});
            if (g.model == &own)
                same.push_back({left, 1});
        }
        const duration mean(permits_ahead > 0 ? static_cast<duration::rep>(work / permits_ahead)
                                              : 0);
        const auto ahead = static_cast<std::size_t>(permits_ahead + 0.5);
        auto until = queueing::until_free(all, set.capacity,
                                          ahead + std::min(weight, set.capacity) - 1, mean);
        if (own.limit > 0)
            until = std::max(until,
                             queueing::until_free(same, own.limit, own_ahead, own.service.value()));
        return until;
    }

    static int in_seconds(std::optional<duration> until)
    {
        const auto whole = std::chrono::ceil<std::chrono::seconds>(until.value_or(assumed_wait));
        return static_cast<int>(std::clamp<std::int64_t>(whole.count(), 1, 60));
    }

    // Until the first of these leaves its waiting place for a permit.
    std::optional<duration> until_place(const guest* first, instant now) const
    {
        if (!first)
            return std::nullopt;
        return until_start(first->where, *first->model, first->weight, now);
    }

    // Why `g`, which cannot go at once, may not even wait; `waiting` when it may.
    arrival refuse_or_wait(const guest& g, instant now) const
    {
        const auto free = set.max_waiting - std::min(set.max_waiting, waiting.size());
        if (free == 0)
            return {answer::full, 0, in_seconds(until_place(in_turn(), now))};
        const auto own = set.max_waiting_per_client;
        if (g.client->waiting >= (own > 0 ? own : free)) {
            const auto* first = own > 0 ? g.client->first() : in_turn();
            return {answer::client_full, 0, in_seconds(until_place(first, now))};
        }
        if (set.max_wait > duration::zero()) {
            const auto until = until_start(g.where, *g.model, g.weight, now);
            if (until && *until > set.max_wait)
                return {answer::too_long, 0, in_seconds(*until - set.max_wait)};
        }
        return {answer::waiting, g.where.ticket, 0};
    }

    guest* find_waiting(ticket t)
    {
        const auto at = waiting.find(t);
        return at == waiting.end() ? nullptr : &at->second;
    }
    guest* find_running(ticket t)
    {
        const auto at = running.find(t);
        return at == running.end() ? nullptr : &at->second;
    }
};

turnstile::turnstile(limits l) : state_(std::make_unique<state>())
{
    state_->set = l;
}
turnstile::~turnstile() = default;
turnstile::turnstile(turnstile&&) noexcept = default;
turnstile& turnstile::operator=(turnstile&&) noexcept = default;

turnstile::arrival turnstile::arrive(visitor v, instant now)
{
    auto& s = *state_;
    s.grow_old(now);
    const ticket t = ++s.last_ticket;
    guest g;
    g.client = &s.who.named(v.client);
    g.model = &s.lanes.named(v.model);
    g.arrived = now;
    g.weight = std::clamp(v.weight, 1u, max_weight);
    g.turns = s.charge(g);
    g.in = v.background ? queueing::flow::background : queueing::flow::interactive;
    s.who.place_at_end(g, t);

    const auto* first = s.in_turn();
    const bool passed_by_none = !first || g.where < first->where;
    if (s.is_open && g.model->may_start() && passed_by_none && s.fits(g)) {
        s.who.served(g, true);
        s.start(s.running.emplace(t, g).first->second, now);
        return {answer::granted, t, 0};
    }
    const auto said = s.refuse_or_wait(g, now);
    if (said.what != answer::waiting) {
        s.maybe_forget(*g.client, *g.model);
        return said;
    }
    auto& waits = s.waiting.emplace(t, g).first->second;
    s.who.line_up(waits);
    s.who.count_waiting(*waits.client);
    s.lanes.stand_in(waits);
    if (v.background)
        s.young.insert(t);
    return said;
}

std::optional<turnstile::ticket> turnstile::next(instant now)
{
    auto& s = *state_;
    s.grow_old(now);
    auto* first = s.in_turn();
    if (!s.is_open || !first || !s.fits(*first))
        return std::nullopt;
    const auto t = first->where.ticket;
    s.lanes.stand_out(*first);
    s.who.served(*first, false);
    s.who.count_not_waiting(*first->client);
    s.young.erase(t);
    s.running.insert(s.waiting.extract(t));
    s.start(*first, now);
    return t;
}

void turnstile::leave(ticket t)
{
    auto& s = *state_;
    auto* g = s.find_waiting(t);
    if (!g)
        return;
    auto& client = *g->client;
    auto& model = *g->model;
    s.lanes.stand_out(*g);
    s.who.give_up(*g, s.lanes);
    s.who.count_not_waiting(client);
    s.young.erase(t);
    s.waiting.erase(t);
    s.maybe_forget(client, model);
}

void turnstile::finish(ticket t, std::optional<duration> service)
{
    auto& s = *state_;
    auto* g = s.find_running(t);
    if (!g)
        return;
    auto& client = *g->client;
    auto& model = *g->model;
    s.stop(*g);
    s.running.erase(t);
    if (service)
        model.service.add(*service);
    s.maybe_forget(client, model);
}

void turnstile::put_back(ticket t)
{
    auto& s = *state_;
    auto* g = s.find_running(t);
    if (!g)
        return;
    s.stop(*g);
    s.waiting.insert(s.running.extract(t));
    g->where = place::of(place::rank::head, g->grant, t);
    s.who.count_waiting(*g->client);
    s.lanes.stand_in(*g);
}

void turnstile::set_limits(limits l)
{
    state_->set = l;
}

void turnstile::limit_model(std::string_view model, unsigned n)
{
    auto& m = state_->lanes.named(model);
    m.limit = n;
    state_->lanes.maybe_forget(m);
}

void turnstile::open(bool is_open)
{
    state_->is_open = is_open;
}

void turnstile::block(std::string_view model)
{
    state_->lanes.named(model).blocked = true;
}

void turnstile::unblock(std::string_view model)
{
    auto& m = state_->lanes.named(model);
    m.blocked = false;
    state_->lanes.maybe_forget(m);
}

std::size_t turnstile::position(ticket t) const
{
    const auto* g = state_->find_waiting(t);
    if (!g)
        return 0;
    return state_->lanes.before(g->where) + 1;
}

std::optional<duration> turnstile::eta(ticket t, instant now) const
{
    return state_->until_place(state_->find_waiting(t), now);
}

std::optional<duration> turnstile::eta_of_last(instant now) const
{
    const guest* last = nullptr;
    for (const auto* lane : state_->lanes.busy()) {
        const auto* of_lane = lane->order.rbegin()->second;
        if (!last || last->where < of_lane->where)
            last = of_lane;
    }
    return state_->until_place(last, now);
}

std::vector<std::string> turnstile::models_waited_for() const
{
    std::vector<std::string> names;
    for (const auto* lane : state_->lanes.busy())
        names.push_back(*lane->name);
    return names;
}

std::size_t turnstile::waiting() const
{
    return state_->waiting.size();
}

std::size_t turnstile::waiting(std::string_view model) const
{
    const auto* m = state_->lanes.find(model);
    return m ? m->order.size() : 0;
}

std::size_t turnstile::waiting_of_client(std::string_view client) const
{
    const auto* c = state_->who.find(client);
    return c ? c->waiting : 0;
}

unsigned turnstile::in_use() const
{
    return state_->in_use;
}

std::size_t turnstile::running(std::string_view model) const
{
    const auto* m = state_->lanes.find(model);
    return m ? m->running : 0;
}

unsigned turnstile::capacity() const
{
    return state_->set.capacity;
}

std::optional<instant> turnstile::oldest() const
{
    if (state_->waiting.empty())
        return std::nullopt;
    return state_->waiting.begin()->second.arrived;
}

}  // namespace gateway
