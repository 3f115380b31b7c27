// Each lane in turn looks at each place: does its model go in there, and what would have to leave?
#include "models/swaps.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace gateway::swaps {

namespace {

// What it takes to have a lane's model at a place.
struct prospect {
    enum class how : std::uint8_t { no, later, fits, clean, push } can = how::no;
    std::vector<const resident*> leave;
    bool disturbs = false;
};

bool idle(const resident& r)
{
    return r.out == 0;
}

// First those that nobody misses, the least recently used first; then those that are waited for;
// busy ones last.
bool leaves_before(const resident* a, const resident* b)
{
    auto rank = [](const resident* r) { return (idle(*r) ? 0 : 2) + (r->wanted != 0 ? 1 : 0); };
    if (rank(a) != rank(b))
        return rank(a) < rank(b);
    return a->last_used != b->last_used ? a->last_used < b->last_used : a->model < b->model;
}

prospect look_at(const site_view& s, place_id p, const candidate& c)
{
    prospect found;
    if (!s.up || (c.lane.barred >> p & 1) != 0)
        return found;
    if (s.occupied) {
        found.can = prospect::how::later;
        return found;
    }
    std::uint64_t used = 0;
    std::uint64_t leaving = 0;  // held by those that are unloading
    bool must_be_gone = false;  // one of them keeps it out until it is
    std::vector<const resident*> others;
    for (const auto& r : s.residents) {
        if (r.model == c.lane.model) {
            if (r.at == model_state::stuck)
                return found;
            if (r.at == model_state::unloading) {
                found.can = prospect::how::later;
                return found;
            }
            if (r.at == model_state::ready)
                found.leave.push_back(&r);  // with other options, or it would be served
            continue;
        }
        if (r.at == model_state::unloading) {
            leaving += r.size;
            must_be_gone = must_be_gone ||
                           (s.budget ? r.size == 0 : s.apart && s.apart(r.model, c.lane.model));
        } else if (r.at == model_state::ready) {
            others.push_back(&r);
            used += r.size;
        }
        // A stuck one cannot be moved: what it holds is not counted, or nothing would ever go in.
    }
    if (s.budget) {
        std::sort(others.begin(), others.end(), leaves_before);
        auto need = c.need.size() > p ? c.need[p] : 0;
        for (const auto* r : others) {
            if (used + need <= *s.budget)
                break;
            found.leave.push_back(r);
            used -= r->size;
        }
    } else {
        for (const auto* r : others) {
            if (s.apart && s.apart(r->model, c.lane.model))
                found.leave.push_back(r);
            else if (r->wanted != 0)
                found.disturbs = true;
        }
    }
    if (s.budget && leaving != 0) {
        auto need = c.need.size() > p ? c.need[p] : 0;
        must_be_gone = must_be_gone || !found.leave.empty() || used + leaving + need > *s.budget;
    }
    if (must_be_gone) {
        found.can = prospect::how::later;  // perhaps what leaves is room enough
        return found;
    }
    if (found.leave.empty()) {
        found.can = prospect::how::fits;
        return found;
    }
    bool missed = std::any_of(found.leave.begin(), found.leave.end(),
                              [](const auto* r) { return r->wanted != 0; });
    bool all_idle =
        std::all_of(found.leave.begin(), found.leave.end(), [](const auto* r) { return idle(*r); });
    found.can = all_idle && !missed ? prospect::how::clean : prospect::how::push;
    return found;
}

bool owes(const site_view& s, const prospect& at)
{
    return s.owed != 0 && std::any_of(at.leave.begin(), at.leave.end(), [&](const auto* r) {
               return r->model == s.swapped_in && r->wanted != 0;
           });
}

// The best place: where it fits, then where only idle ones leave that nobody misses, then where it
// may push; of equals the one that served this client last, then the least busy.
std::pair<std::optional<place_id>, prospect> best_place(const std::vector<site_view>& sites,
                                                        const candidate& c, place_set taken)
{
    std::pair<std::optional<place_id>, prospect> chosen;
    auto& [best, with] = chosen;
    auto busy = [&](place_id p) {
        return double(sites[p].in_use) / double(std::max<std::size_t>(1, sites[p].capacity));
    };
    auto rank = [](const prospect& a) {
        switch (a.can) {
            case prospect::how::fits: return a.disturbs ? 2 : 0;
            case prospect::how::clean: return 1;
            case prospect::how::push: return 3;
            default: return 4;
        }
    };
    for (place_id p = 0; p < sites.size(); ++p) {
        if ((taken >> p & 1) != 0 || (c.served >> p & 1) != 0)
            continue;
        auto found = look_at(sites[p], p, c);
        if (found.can == prospect::how::no)
            continue;
        bool better = !best || rank(found) < rank(with);
        if (best && rank(found) == rank(with))
            better = c.last_served == p || (c.last_served != best && busy(p) < busy(*best));
        if (better) {
            best = p;
            with = std::move(found);
        }
    }
    return chosen;
}

}  // namespace

outlook foresee(const std::vector<site_view>& sites, const candidate& lane)
{
    outlook will;
    will.ready = lane.served;
    will.most_passed = most_passed;
    will.owed_after_swap = owed_after_swap;
    if (will.ready != 0)
        return will;
    will.comes = lane.coming != 0;
    if (will.comes) {
        will.at = static_cast<place_id>(std::countr_zero(lane.coming));
        return will;
    }
    auto [best, with] = best_place(sites, lane, 0);
    if (!best)
        return will;
    const auto& s = sites[*best];
    will.at = *best;
    will.comes = with.can == prospect::how::fits && !with.disturbs;
    will.beside = with.can == prospect::how::fits && with.disturbs;
    if (will.beside) {
        for (const auto& r : s.residents)
            if (r.wanted != 0)
                will.in_place_of.push_back(r.model);
    }
    for (const auto* r : with.leave)
        will.in_place_of.push_back(r->model);
    will.owed = owes(s, with) ? s.owed : 0;
    return will;
}

std::vector<action> decide(const std::vector<site_view>& sites, const std::vector<candidate>& lanes)
{
    std::vector<action> todo;
    place_set taken = 0;  // something is decided there already
    std::map<std::string, place_set> loads;
    // Who was passed over to the bound goes first: else the room that was made for it would be
    // taken by the very model that made way, when that stands before it in the order.
    std::vector<const candidate*> turns;
    for (bool impatient : {true, false})
        for (const auto& c : lanes)
            if (c.impatient == impatient)
                turns.push_back(&c);
    for (const auto* turn : turns) {
        const auto& c = *turn;
        if (c.waiting == 0 || c.coming != 0)
            continue;
        bool served = c.served != 0;
        if (served && !c.full)
            continue;
        auto [best, with] = best_place(sites, c, taken);
        if (!best || with.can == prospect::how::later)
            continue;
        const auto& s = sites[*best];
        if (served && (with.can != prospect::how::fits || with.disturbs))
            continue;  // it is served elsewhere: a second copy only where it costs nobody anything
        if (with.can == prospect::how::fits) {
            if (with.disturbs && !c.impatient)
                continue;
            todo.push_back({step::load, *best, c.lane.model, c.lane, with.disturbs});
            taken |= place_set(1) << *best;
            continue;
        }
        if (with.can == prospect::how::push && (!c.impatient || owes(s, with)))
            continue;
        bool all_idle = true;
        for (const auto* r : with.leave) {
            all_idle = all_idle && idle(*r);
            if (with.can == prospect::how::push)
                todo.push_back({step::hold, *best, r->model, c.lane, false});
        }
        if (all_idle)
            for (const auto* r : with.leave)
                todo.push_back({step::unload, *best, r->model, c.lane, true});
        taken |= place_set(1) << *best;
    }
    return todo;
}

bool patience::impatient(const turnstile::lane_view& lane, duration last_load, duration loading,
                         instant now)
{
    if (lane.passed == 0) {
        marks_.erase(*lane.lane);
        return false;
    }
    auto [at, is_new] = marks_.try_emplace(*lane.lane, mark{lane.passed_since, loading, true});
    auto& m = at->second;
    m.seen = true;
    if (m.since != lane.passed_since)
        m = {lane.passed_since, loading, true};
    auto bound = patience::bound(last_load);
    auto passed_for = (now - m.since) - (loading - m.loading);
    if (lane.passed >= most_passed || passed_for >= bound)
        return true;
    next_ = std::min(next_, now + (bound - passed_for));
    return false;
}

duration patience::passed_for(const waiting_lane& lane, duration loading, instant now) const
{
    if (lane.passed == 0)
        return {};
    auto at = marks_.find(*lane.lane);
    bool marked = at != marks_.end() && at->second.since == lane.passed_since;
    return (now - lane.passed_since) - (marked ? loading - at->second.loading : duration());
}

void patience::end_look()
{
    for (auto at = marks_.begin(); at != marks_.end();)
        at = std::exchange(at->second.seen, false) ? std::next(at) : marks_.erase(at);
}

}  // namespace gateway::swaps
