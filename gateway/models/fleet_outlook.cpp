// How each lane would come to its model: what the turnstiles foresee the order of their calls by.
#include "models/fleet.hpp"
#include "models/place_state.hpp"

#include <algorithm>

namespace gateway {

// Does something leave there for a lane, whose model goes in next?
bool fleet::room_is_made(place_id p) const
{
    const auto& all = sites_[p]->loaded.book().all();
    return places_[p]->making_room_for && std::any_of(all.begin(), all.end(), [](const auto& one) {
               return one.second.at == model_state::unloading;
           });
}

// The sites as they are when the loads and unloads that are under way are over.
std::vector<swaps::site_view> fleet::sites_to_be(instant now) const
{
    auto all = site_views(now);
    for (place_id p = 0; p < all.size(); ++p) {
        auto& v = all[p];
        v.occupied = false;
        std::erase_if(v.residents, [](const auto& r) { return r.at == model_state::unloading; });
        auto comes = [&](const std::string& name, const std::string& options) {
            swaps::resident r;
            r.model = name;
            r.size = need(p, {name, options, 0}, name);
            for (const auto* a : {generations_, embeddings_})
                r.wanted += a->view().waiting(name);
            r.last_used = now;
            v.residents.push_back(std::move(r));
        };
        for (const auto& [name, e] : sites_[p]->loaded.book().all())
            if (e.at == model_state::loading)
                comes(name, e.options);
        if (room_is_made(p))
            comes(places_[p]->making_room_for->model, places_[p]->making_room_for->options);
    }
    return all;
}

std::vector<outlook> fleet::outlooks(const std::vector<waiting_lane>& lanes, instant now) const
{
    std::vector<outlook> all;
    all.reserve(lanes.size());
    std::optional<std::vector<swaps::site_view>> sites;  // asked for by few
    auto loading = spent_loading(now);
    for (const auto& l : lanes) {
        swaps::candidate c;
        c.lane = *l.lane;
        auto wish = wishes_.find(c.lane);
        auto last_load =
            look_at_places(c, wish != wishes_.end() ? wish->second.how.as : c.lane.model, now);
        for (place_id p = 0; p < places_.size(); ++p)
            if (room_is_made(p) && *places_[p]->making_room_for == c.lane)
                c.coming |= only(p);
        if (c.served == 0 && c.coming == 0 && !sites)
            sites = sites_to_be(now);
        auto will = swaps::foresee(sites ? *sites : std::vector<swaps::site_view>(), c);
        will.longest_passed = swaps::patience::bound(last_load);
        will.passed_for = patience_.passed_for(l, loading, now);
        all.push_back(std::move(will));
    }
    return all;
}

}  // namespace gateway
