// What is kept of each call that is out, by its number, in the order they were sent: few at a time,
// so they stand side by side in memory that the next ones use again. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace gateway {

template <class T>
class calls_out {
public:
    using call_id = std::uint64_t;
    struct value_type {
        call_id first;
        T second;
    };
    using iterator = typename std::vector<value_type>::iterator;
    using const_iterator = typename std::vector<value_type>::const_iterator;

    bool empty() const { return all_.empty(); }
    std::size_t size() const { return all_.size(); }
    iterator begin() { return all_.begin(); }
    iterator end() { return all_.end(); }
    const_iterator begin() const { return all_.begin(); }
    const_iterator end() const { return all_.end(); }

    const_iterator find(call_id c) const
    {
        const auto at = not_before(all_.begin(), all_.end(), c);
        return at != all_.end() && at->first == c ? at : all_.end();
    }
    iterator find(call_id c)
    {
        const auto at = not_before(all_.begin(), all_.end(), c);
        return at != all_.end() && at->first == c ? at : all_.end();
    }
    // In place of the one of that number, if there is one.
    void put(call_id c, T what)
    {
        if (all_.empty() || all_.back().first < c) {
            all_.push_back({c, std::move(what)});
            return;
        }
        const auto at = not_before(all_.begin(), all_.end(), c);
        if (at->first == c)
            at->second = std::move(what);
        else
            all_.insert(at, {c, std::move(what)});
    }
    void erase(iterator at) { all_.erase(at); }

private:
    template <class At>
    static At not_before(At from, At to, call_id c)
    {
        return std::lower_bound(from, to, c,
                                [](const auto& one, call_id id) { return one.first < id; });
    }

    std::vector<value_type> all_;
};

}  // namespace gateway
