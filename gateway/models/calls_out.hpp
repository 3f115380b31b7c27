// What is kept of each call that is out, by its number, in the order they were sent. They stand
// side by side in memory that the next ones use again; who was sent first is, mostly, over first,
// so that of many calls hardly any has to move when one ends. Pure.
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

    bool empty() const { return size() == 0; }
    std::size_t size() const { return all_.size() - std::size_t(over_); }
    iterator begin() { return all_.begin() + over_; }
    iterator end() { return all_.end(); }
    const_iterator begin() const { return all_.begin() + over_; }
    const_iterator end() const { return all_.end(); }

    const_iterator find(call_id c) const
    {
        const auto at = not_before(begin(), end(), c);
        return at != end() && at->first == c ? at : end();
    }
    iterator find(call_id c)
    {
        const auto at = not_before(begin(), end(), c);
        return at != end() && at->first == c ? at : end();
    }
    // In place of the one of that number, if there is one.
    void put(call_id c, T what)
    {
        if (empty() || all_.back().first < c) {
            all_.push_back({c, std::move(what)});
            return;
        }
        const auto at = not_before(begin(), end(), c);
        if (at->first == c)
            at->second = std::move(what);
        else
            all_.insert(at, {c, std::move(what)});
    }
    // No iterator is good afterwards.
    void erase(iterator at)
    {
        if (end() - at <= at - begin()) {
            all_.erase(at);
        } else {
            std::move_backward(begin(), at, at + 1);
            ++over_;
        }
        if (over_ > std::ptrdiff_t(size())) {
            all_.erase(all_.begin(), begin());
            over_ = 0;
        }
    }

private:
    template <class At>
    static At not_before(At from, At to, call_id c)
    {
        // Numbers grow by one at least: it stands no further behind the first than they differ, and
        // just there when all between are still out, as among many long streams.
        if (from != to && c >= from->first && c - from->first < call_id(to - from)) {
            to = from + std::ptrdiff_t(c - from->first);
            if (to->first == c)
                return to;
        }
        return std::lower_bound(from, to, c,
                                [](const auto& one, call_id id) { return one.first < id; });
    }

    std::vector<value_type> all_;
    std::ptrdiff_t over_ = 0;  // so many at its front are no more
};

}  // namespace gateway
