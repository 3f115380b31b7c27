// What is loaded and unloaded next: the facts gathered, swaps.hpp asked, its answer carried out.
#include "base/log.hpp"
#include "models/fleet.hpp"
#include "models/place_state.hpp"

#include <algorithm>

namespace gateway {

using namespace std::chrono_literals;

// Has it nothing to think about, whatever may have changed? So it is when calls come and go and
// none waits.
bool fleet::idle() const
{
    if (generations_->view().anybody_waits() || embeddings_->view().anybody_waits() ||
        !wishes_.empty())
        return false;
    return std::all_of(places_.begin(), places_.end(), [](const auto& s) {
        return s->held.empty() && s->retiring.empty() && s->direct_lanes.empty() &&
               s->busy_limit == 0;
    });
}

void fleet::changed()
{
    if (!idle())
        think_soon();
}

void fleet::think_soon()
{
    if (!thinks_.waits())
        thinks_.then([this] { think(); });
}

std::size_t fleet::out(place_id p, const std::string& runner) const
{
    const auto* e = sites_[p]->loaded.book().find(runner);
    // A permit is given a moment before its call is out, and given back a moment after.
    auto permits = generations_->view().running(p, runner) + embeddings_->view().running(p, runner);
    return std::max(permits, e != nullptr ? e->out : 0);
}

duration fleet::look_at_places(swaps::candidate& c, std::string_view as, instant now) const
{
    duration last_load{};
    for (const auto* s : sites_) {
        auto p = s->place;
        const auto* e = s->loaded.book().find(c.lane.model);
        if (e != nullptr && e->last_load)
            last_load = std::max(last_load, *e->last_load);
        c.need.push_back(places_[p]->has_budget ? need(p, c.lane, as) : 0);
        if (in(c.lane.barred, p) || !places_[p]->up || e == nullptr)
            continue;
        if (e->at == model_state::loading && e->options == c.lane.options)
            c.coming |= only(p);
        if (ledger::serves(*e, c.lane.options, reuses(c.lane.model), now))
            c.served |= only(p);
    }
    return last_load;
}

duration fleet::spent_loading(instant now) const
{
    duration loading{};
    for (const auto* s : sites_)
        loading += s->loaded.loading_time(now);
    return loading;
}

std::vector<swaps::candidate> fleet::candidates(instant now)
{
    struct seen {
        turnstile::lane_view lane;
        const admission* at;
    };
    std::vector<seen> all;
    for (const auto* a : {generations_, embeddings_})
        for (const auto& l : a->view().lanes())
            all.push_back({l, a});
    // Each turnstile's lanes stand in their order; of two turnstiles whoever came first.
    auto middle =
        std::find_if(all.begin(), all.end(), [&](const seen& s) { return s.at == embeddings_; });
    std::inplace_merge(all.begin(), middle, all.end(),
                       [](const seen& a, const seen& b) { return a.lane.oldest < b.lane.oldest; });
    auto loading = spent_loading(now);
    std::vector<swaps::candidate> found;
    for (const auto& [lane, at] : all) {
        swaps::candidate c;
        c.lane = *lane.lane;
        c.waiting = lane.waiting;
        auto wish = wishes_.find(c.lane);
        if (wish != wishes_.end())
            wish->second.seen = true;
        if (auto none = hopeless(c.lane))
            in_vain_.emplace_back(c.lane, std::move(*none));
        const auto& as = wish != wishes_.end() ? wish->second.how.as : c.lane.model;
        auto last_load = look_at_places(c, as, now);
        // One that says "server busy" has no free permit, whatever the count.
        c.full = std::none_of(sites_.begin(), sites_.end(), [&, on = at](const auto* s) {
            auto p = s->place;
            return in(c.served, p) && on->view().in_use(p) < on->view().capacity(p) &&
                   now >= places_[p]->paused_until;
        });
        c.impatient = patience_.impatient(lane, last_load, loading, now);
        c.last_served = at->view().last_served(lane.client, c.lane.model);
        found.push_back(std::move(c));
    }
    return found;
}

std::vector<swaps::site_view> fleet::site_views(instant now) const
{
    std::vector<swaps::site_view> all;
    auto settings = with_.settings();
    for (const auto* s : sites_) {
        const auto& state = *places_[s->place];
        const auto& book = s->loaded.book();
        swaps::site_view v;
        v.up = state.up;
        v.occupied = s->loaded.loading() || s->loaded.settling() != nullptr || state.direct_out ||
                     now < s->loaded.paused_until() || now < state.paused_until;
        v.budget = settings->upstreams[s->place].vram;
        v.in_use = generations_->view().in_use(s->place);
        v.capacity = generations_->view().capacity(s->place);
        v.apart = [&book](const std::string& a, const std::string& b) { return book.apart(a, b); };
        for (const auto& [name, e] : book.all()) {
            if (e.at == model_state::absent || e.at == model_state::loading)
                continue;
            if (e.at == model_state::ready && !e.sure)
                continue;  // perhaps it is gone: the next listing says
            swaps::resident r;
            r.model = name;
            r.at = e.at;
            r.size = e.size_vram != 0 ? e.size_vram : book.measured(name, e.options);
            if (r.size == 0)
                r.size = need(s->place, {name, e.options, 0}, name);
            r.out = out(s->place, name);
            r.last_used = e.last_used;
            for (const auto* a : {generations_, embeddings_})
                for (const auto& l : a->view().lanes())
                    if (l.lane->model == name && !in(l.lane->barred, s->place) &&
                        ledger::serves(e, l.lane->options, reuses(name), now))
                        r.wanted += l.waiting;
            if (name == state.swapped_in && e.calls < state.owed_until) {
                v.swapped_in = name;
                v.owed = state.owed_until - e.calls;
            }
            v.residents.push_back(std::move(r));
        }
        all.push_back(std::move(v));
    }
    return all;
}

// More permits again after "server busy".
void fleet::recover(instant now)
{
    for (place_id p = 0; p < places_.size(); ++p) {
        auto& s = *places_[p];
        if (s.busy_limit == 0)
            continue;
        if (now >= s.recovers_at) {
            ++s.busy_limit;
            s.recovers_at = now + recovers_every;
            s.pause = {};
            set_capacities(p);
        }
    }
}

void fleet::think()
{
    auto now = steady::now();
    recover(now);
    bool somebody = generations_->view().anybody_waits() || embeddings_->view().anybody_waits();
    std::vector<swaps::action> todo;
    in_vain_.clear();
    auto next = instant::max();
    if (somebody && !closing_) {
        patience_.begin_look();
        auto lanes = candidates(now);
        patience_.end_look();
        next = patience_.look_again();
        bool all_served = std::all_of(lanes.begin(), lanes.end(), [&](const auto& c) {
            return c.served != 0 && (sites_.size() == 1 || !c.full);
        });
        if (!all_served)
            todo = swaps::decide(site_views(now), lanes);
    }
    for (auto at = wishes_.begin(); at != wishes_.end();)
        at = std::exchange(at->second.seen, false) ? std::next(at) : wishes_.erase(at);
    for (place_id p = 0; p < places_.size(); ++p) {
        auto& s = *places_[p];
        std::set<std::string, std::less<>> held;
        for (const auto& a : todo)
            if (a.place == p && a.what == swaps::step::hold)
                held.insert(a.model);
        s.held = std::move(held);
        std::erase_if(s.retiring, [&](const std::string& name) {
            auto at = sites_[p]->loaded.book().state(name);
            if (at == model_state::loading)
                return false;
            if (at != model_state::ready)
                return true;
            if (out(p, name) != 0 || closing_)
                return false;
            sites_[p]->loaded.unload(name, "operator");
            return true;
        });
        for (auto due : {s.paused_until, sites_[p]->loaded.paused_until(),
                         s.busy_limit != 0 ? s.recovers_at : instant::min()})
            if (due > now)
                next = std::min(next, due);
    }
    carry_out(todo);
    for (const auto& [lane, news] : std::exchange(in_vain_, {}))
        for (auto* a : {generations_, embeddings_})
            a->tell(lane, news);
    for (auto* a : {generations_, embeddings_})
        a->wake();
    look_.set(closing_ ? instant::max() : next);
}

void fleet::carry_out(const std::vector<swaps::action>& todo)
{
    for (place_id p = 0; p < places_.size(); ++p) {
        auto& s = *places_[p];
        // Whose load was refused goes itself, one at a time.
        while (!s.direct_lanes.empty() && !s.direct_out && !sites_[p]->loaded.loading() &&
               sites_[p]->loaded.settling() == nullptr) {
            auto lane = *s.direct_lanes.begin();
            s.direct_lanes.erase(s.direct_lanes.begin());
            direct(p, lane);
        }
    }
    for (const auto& a : todo) {
        auto& s = *places_[a.place];
        auto& room = sites_[a.place]->loaded;
        if (a.what == swaps::step::unload) {
            room.unload(a.model, "room");
        } else if (a.what == swaps::step::load) {
            if (s.direct_out || room.loading() || room.settling() != nullptr)
                continue;
            const auto* e = room.book().find(a.model);
            if (e != nullptr && e->at == model_state::absent && room.unused_since_load(a.model)) {
                direct(a.place, a.lane);  // it was gone before its first call
                continue;
            }
            s.load_swaps = a.swap || s.making_room_for == a.lane;
            auto wish = wishes_.find(a.lane);
            if (wish != wishes_.end())
                room.load(wish->second.how);
        }
        if (a.what == swaps::step::unload)
            s.making_room_for = a.lane;
        else if (a.what == swaps::step::load)
            s.making_room_for.reset();
    }
}

void fleet::direct(place_id p, const lane_key& lane)
{
    for (auto* a : {generations_, embeddings_}) {
        for (const auto& l : a->view().lanes()) {
            if (*l.lane != lane)
                continue;
            places_[p]->direct_out = true;
            a->let_in(l.first, p);
            return;
        }
    }
}

}  // namespace gateway
