// The visitors of a turnstile by lane: who may start at the same places stands together, in one
// order-statistics tree, so that a lane that may not start is passed over without touching its
// visitors, and a position is a sum of ranks. Pure.
#pragma once

#include "admission/guest.hpp"
#include "admission/known_models.hpp"

#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>

#include <array>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace gateway::queueing {

struct model_lane {
    using queue = __gnu_pbds::tree<standing, guest*, std::less<standing>, __gnu_pbds::rb_tree_tag,
                                   __gnu_pbds::tree_order_statistics_node_update>;

    const lane_key* key = nullptr;
    known_model* model = nullptr;
    queue calls;                         // waiting ones
    std::map<standing, guest*> errands;  // waiting ones, which pass the calls: they take no permit
    std::size_t waiting_weight = 0;
    std::size_t running = 0;             // visitors, errands too
    std::size_t busy_slot = 0;           // its place among the lanes with waiting visitors
    bool in_use = false;                 // visitors have come and not all have gone
    bool kept = false;                   // is not forgotten when they have
    std::uint64_t models_forgotten = 0;  // known_models::forgotten() when `model` was looked up

    // Grants to others though its head stood before them and no door was open to it.
    std::size_t passed = 0;
    instant passed_since = instant::max();

    // As it was when last looked at: where its doors are open, and where its model may start too.
    place_set doors_open = 0;
    place_set may_start = 0;

    std::size_t waiting() const { return calls.size() + errands.size(); }
    bool empty() const { return calls.empty() && errands.empty(); }
    guest* first_call() const { return calls.empty() ? nullptr : calls.begin()->second; }
    guest* first_errand() const { return errands.empty() ? nullptr : errands.begin()->second; }
    // Its first visitor; it must have one.
    guest* head() const
    {
        auto* call = first_call();
        auto* errand = first_errand();
        if (!call || !errand)
            return call ? call : errand;
        return call->where < errand->where ? call : errand;
    }
    void served()
    {
        passed = 0;
        passed_since = instant::max();
    }
};

class model_lanes {
public:
    // Lanes that are kept though nobody is in them, at most: a quiet gateway's every call would
    // make its lane anew. A kept one is as a new one to whoever comes.
    static constexpr std::size_t most_kept = 16;

    explicit model_lanes(known_models& models) : models_(&models) {}

    // For a visitor that comes; maybe_forget() is to follow when it does not stay.
    model_lane& of(const lane_key& key)
    {
        auto& l = newest_ && *newest_->key == key ? *newest_ : find_or_make(key);
        newest_ = &l;
        if (!l.in_use) {
            l.in_use = true;
            // The model may have been forgotten since the lane was last in use.
            if (!l.model || l.models_forgotten != models_->forgotten()) {
                l.model = &models_->named(key.model);
                l.models_forgotten = models_->forgotten();
            }
            ++l.model->lanes;
        }
        return l;
    }
    // Kept ones too.
    std::size_t size() const { return all_.size(); }
    // Those with waiting visitors, in no order.
    const std::vector<model_lane*>& busy() const { return busy_; }

    void stand_in(guest& g)
    {
        auto& l = *g.lane;
        if (l.empty()) {
            l.busy_slot = busy_.size();
            busy_.push_back(&l);
        }
        if (g.errand()) {
            l.errands.emplace(g.where, &g);
            return;
        }
        l.calls.insert({g.where, &g});
        l.waiting_weight += g.weight;
        ++l.model->waiting;
    }

    void stand_out(guest& g)
    {
        auto& l = *g.lane;
        if (g.errand()) {
            l.errands.erase(g.where);
        } else {
            l.calls.erase(g.where);
            l.waiting_weight -= g.weight;
            --l.model->waiting;
        }
        if (l.empty()) {
            busy_[l.busy_slot] = busy_.back();
            busy_[l.busy_slot]->busy_slot = l.busy_slot;
            busy_.pop_back();
        }
    }

    // How many calls stand before that.
    std::size_t before(const standing& where) const
    {
        std::size_t n = 0;
        for (const auto* l : busy_)
            n += l->calls.order_of_key(where);
        return n;
    }

    // To be called when the last waiting or running visitor of `l` may have gone.
    void maybe_forget(model_lane& l)
    {
        if (!l.empty())
            return;
        l.served();
        if (l.running > 0)
            return;
        l.in_use = false;
        l.doors_open = 0;
        l.may_start = 0;
        auto& model = *l.model;
        --model.lanes;
        models_->maybe_forget(model);
        if (!l.kept)
            keep(l);
    }

private:
    struct key_hash {
        std::size_t operator()(const lane_key& k) const
        {
            const std::hash<std::string> text;
            return mixed(mixed(text(k.model), text(k.options)), std::hash<place_set>()(k.barred));
        }
    };

    model_lane& find_or_make(const lane_key& key)
    {
        const auto [at, is_new] = all_.try_emplace(key);
        if (is_new)
            at->second.key = &at->first;
        return at->second;
    }

    // `l`, which is not in use, takes the place of the one that was kept first.
    void keep(model_lane& l)
    {
        auto*& place = kept_[next_kept_++ % most_kept];
        if (place) {
            place->kept = false;
            if (!place->in_use)
                forget(*place);
        }
        place = &l;
        l.kept = true;
    }
    void forget(model_lane& l)
    {
        if (newest_ == &l)
            newest_ = nullptr;
        all_.erase(all_.find(*l.key));
    }

    known_models* models_;
    std::unordered_map<lane_key, model_lane, key_hash> all_;
    model_lane* newest_ = nullptr;  // the one last come to: mostly the next one's too
    std::array<model_lane*, most_kept> kept_{};
    std::size_t next_kept_ = 0;
    std::vector<model_lane*> busy_;
};

}  // namespace gateway::queueing
