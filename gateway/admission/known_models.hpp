// What a turnstile knows of each model, over all its lanes: how many of it run where, what limits
// it has, and how long its calls take. Pure.
#pragma once

#include "admission/estimate.hpp"
#include "admission/guest.hpp"
#include "admission/places.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gateway::queueing {

// Errands are not counted here.
class known_model {
public:
    explicit known_model(place_id places) : at_(places) {}

    const std::string* name = nullptr;
    std::size_t hash = 0;   // of the name
    std::size_t lanes = 0;  // that have visitors, waiting or running
    std::size_t waiting = 0;
    moving_average service;
    std::uint64_t used = 0;  // the number of its last grant

    void began(place_id p)
    {
        ++at_[p].running;
        ++running_;
        look(p);
    }
    void ended(place_id p)
    {
        --at_[p].running;
        --running_;
        look(p);
    }
    void limit(place_id p, unsigned n)
    {
        limited_ += static_cast<std::size_t>(n > 0);
        limited_ -= static_cast<std::size_t>(at_[p].limit > 0);
        at_[p].limit = n;
        look(p);
    }

    std::size_t running() const { return running_; }
    std::size_t running(place_id p) const { return at_[p].running; }
    // Places where as many run as may.
    place_set full() const { return full_; }
    // How many may run at these places together; 0: no limit at one of them.
    unsigned limit_over(place_set some) const
    {
        unsigned sum = 0;
        bool unlimited = limited_ == 0;
        if (!unlimited) {
            for_each_place(some, [&](place_id p) {
                sum += at_[p].limit;
                unlimited |= at_[p].limit == 0;
            });
        }
        return unlimited ? 0 : sum;
    }
    bool limited() const { return limited_ > 0; }
    bool in_use() const { return lanes > 0 || limited_ > 0; }

private:
    struct here {
        std::size_t running = 0;
        unsigned limit = 0;  // 0: none of its own
    };
    void look(place_id p)
    {
        const auto bit = place_set{1} << p;
        const auto& one = at_[p];
        full_ = one.limit > 0 && one.running >= one.limit ? full_ | bit : full_ & ~bit;
    }

    std::vector<here> at_;
    std::size_t running_ = 0;
    std::size_t limited_ = 0;
    place_set full_ = 0;
};

class known_models {
public:
    // Idle models whose average is kept.
    static constexpr std::size_t remembered = 256;

    explicit known_models(place_id places) : places_(places) {}

    known_model& named(std::string_view name)
    {
        if (const auto at = all_.find(name); at != all_.end())
            return at->second;
        const auto at = all_.try_emplace(std::string(name), places_).first;
        at->second.name = &at->first;
        at->second.hash = text_hash()(name);
        return at->second;
    }
    const known_model* find(std::string_view name) const
    {
        const auto at = all_.find(name);
        return at == all_.end() ? nullptr : &at->second;
    }

    // To be called when `m` may have become idle: it is dropped unless something is known of it,
    // and of too many idle ones the one that was used longest ago goes.
    void maybe_forget(known_model& m)
    {
        if (m.in_use())
            return;
        known_model* drop = &m;
        if (m.service.known()) {
            if (all_.size() <= remembered)
                return;
            for (auto& [name, other] : all_) {
                if (!other.in_use() && other.used < drop->used)
                    drop = &other;
            }
        }
        all_.erase(all_.find(*drop->name));
        ++forgotten_;
    }
    // How many were dropped so far: who keeps one that is not in use sees by it that it may be
    // gone.
    std::uint64_t forgotten() const { return forgotten_; }

private:
    place_id places_;
    std::uint64_t forgotten_ = 0;
    std::unordered_map<std::string, known_model, text_hash, std::equal_to<>> all_;
};

}  // namespace gateway::queueing
