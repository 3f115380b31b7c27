// The waiting visitors of a turnstile, by model: one order-statistics tree each, so that a model
// that may not start is passed over without touching its visitors, and a position is a sum of
// ranks. Pure.
#pragma once

#include "admission/estimate.hpp"
#include "admission/guest.hpp"

#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gateway::queueing {

struct model_lane {
    using queue = __gnu_pbds::tree<place, guest*, std::less<place>, __gnu_pbds::rb_tree_tag,
                                   __gnu_pbds::tree_order_statistics_node_update>;

    const std::string* name = nullptr;
    queue order;
    std::size_t waiting_weight = 0;
    std::size_t running = 0;
    unsigned limit = 0;  // 0: none of its own
    bool blocked = false;
    moving_average service;
    std::uint64_t used = 0;     // the number of its last grant
    std::size_t busy_slot = 0;  // its place among the lanes with waiting visitors

    bool may_start() const { return !blocked && (limit == 0 || running < limit); }
    bool in_use() const { return !order.empty() || running > 0 || limit > 0 || blocked; }
};

class model_lanes {
public:
    // Idle models whose average is kept.
    static constexpr std::size_t remembered = 256;

    model_lane& named(std::string_view name)
    {
        auto [at, is_new] = all_.try_emplace(std::string(name));
        if (is_new)
            at->second.name = &at->first;
        return at->second;
    }
    const model_lane* find(std::string_view name) const
    {
        const auto at = all_.find(name);
        return at == all_.end() ? nullptr : &at->second;
    }
    // Those with waiting visitors, in no order.
    const std::vector<model_lane*>& busy() const { return busy_; }

    void stand_in(guest& g)
    {
        auto& m = *g.model;
        if (m.order.empty()) {
            m.busy_slot = busy_.size();
            busy_.push_back(&m);
        }
        m.order.insert({g.where, &g});
        m.waiting_weight += g.weight;
    }

    void stand_out(guest& g)
    {
        auto& m = *g.model;
        m.order.erase(g.where);
        m.waiting_weight -= g.weight;
        if (m.order.empty()) {
            busy_[m.busy_slot] = busy_.back();
            busy_[m.busy_slot]->busy_slot = m.busy_slot;
            busy_.pop_back();
        }
    }

    // How many stand before that place.
    std::size_t before(const place& where) const
    {
        std::size_t n = 0;
        for (const auto* m : busy_)
            n += m->order.order_of_key(where);
        return n;
    }

    // To be called when `m` may have become idle: it is dropped unless something is known of it,
    // and of too many idle ones the one that was used longest ago goes.
    void maybe_forget(model_lane& m)
    {
        if (m.in_use())
            return;
        model_lane* drop = &m;
        if (m.service.known()) {
            if (all_.size() <= remembered)
                return;
            for (auto& [name, other] : all_) {
                if (!other.in_use() && other.used < drop->used)
                    drop = &other;
            }
        }
        all_.erase(all_.find(*drop->name));
    }

private:
    std::unordered_map<std::string, model_lane, text_hash, std::equal_to<>> all_;
    std::vector<model_lane*> busy_;
};

}  // namespace gateway::queueing
