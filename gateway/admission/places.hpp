// The places of a turnstile: the permits each has and those that are out, which are open, and which
// is the least busy. Pure.
#pragma once

#include "admission/turnstile.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace gateway::queueing {

// Calls `f` with each place of a set, from the first.
template <class F>
void for_each_place(place_set all, F f)
{
    for (; all != 0; all &= all - 1)
        f(static_cast<place_id>(std::countr_zero(all)));
}

class places {
public:
    explicit places(place_id n) : all_(std::min(n, most_places))
    {
        for (place_id p = 0; p < all_.size(); ++p)
            open(p, true);
    }

    bool has(place_id p) const { return p < all_.size(); }
    place_id size() const { return static_cast<place_id>(all_.size()); }

    void open(place_id p, bool is_open)
    {
        const auto bit = place_set{1} << p;
        open_ = is_open ? open_ | bit : open_ & ~bit;
    }
    place_set open() const { return open_; }

    void capacity(place_id p, unsigned permits)
    {
        all_[p].capacity = permits;
        total_ = 0;
        largest_ = 0;
        for (const auto& one : all_) {
            total_ += one.capacity;
            largest_ = std::max(largest_, one.capacity);
        }
    }
    unsigned capacity(place_id p) const { return all_[p].capacity; }
    unsigned capacity() const { return total_; }
    unsigned capacity_of(place_set some) const
    {
        unsigned sum = 0;
        for_each_place(some, [&](place_id p) { sum += all_[p].capacity; });
        return sum;
    }

    // What a visitor of that weight holds at a place, and what it takes of its client's turns: one
    // heavier than all there is takes all there is.
    unsigned charge(unsigned weight, place_id p) const { return held(weight, all_[p].capacity); }
    unsigned turns(unsigned weight) const { return held(weight, largest_); }

    bool fits(unsigned weight, place_id p) const { return charge(weight, p) <= free(p); }
    bool all_full() const
    {
        for (place_id p = 0; p < all_.size(); ++p) {
            if (free(p) > 0)
                return false;
        }
        return true;
    }

    void take(place_id p, unsigned permits)
    {
        all_[p].in_use += permits;
        in_use_ += permits;
    }
    void give_back(place_id p, unsigned permits)
    {
        all_[p].in_use -= permits;
        in_use_ -= permits;
    }
    unsigned in_use(place_id p) const { return all_[p].in_use; }
    unsigned in_use() const { return in_use_; }

    // The one with the smallest part of its permits out, the first of equals. `some` is not empty.
    place_id least_busy(place_set some) const
    {
        auto best = static_cast<place_id>(std::countr_zero(some));
        for_each_place(some & (some - 1), [&](place_id p) {
            if (less_busy(all_[p], all_[best]))
                best = p;
        });
        return best;
    }

private:
    struct one {
        unsigned capacity = 0;
        unsigned in_use = 0;
    };

    static unsigned held(unsigned weight, unsigned capacity)
    {
        return std::min(weight, std::max(1u, capacity));
    }
    unsigned free(place_id p) const
    {
        return all_[p].capacity - std::min(all_[p].capacity, all_[p].in_use);
    }
    // Who has no permits at all is the busiest.
    static bool less_busy(const one& a, const one& b)
    {
        if (a.capacity == 0 || b.capacity == 0)
            return b.capacity == 0 && a.capacity != 0;
        return std::uint64_t{a.in_use} * b.capacity < std::uint64_t{b.in_use} * a.capacity;
    }

    std::vector<one> all_;
    place_set open_ = 0;
    unsigned total_ = 0;
    unsigned largest_ = 0;
    unsigned in_use_ = 0;
};

}  // namespace gateway::queueing
