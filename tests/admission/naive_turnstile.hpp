// The turnstile as one would write it on a napkin: one list, everything counted anew each time.
// What the real one must agree with, step by step.
#pragma once

#include "admission/clients.hpp"
#include "admission/turnstile.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>
#include <vector>

namespace gateway {

class naive_turnstile {
public:
    struct one {
        turnstile::ticket id = 0;
        visitor who;
        instant arrived;
        int flow = 0;  // interactive, background, aged
        std::uint64_t start = 0, came_at = 0, grant = 0;
        unsigned weight = 1, turns = 1, charged = 0;
        bool runs = false, put_back = false;

        std::tuple<int, std::uint64_t, turnstile::ticket> key() const
        {
            if (put_back)
                return {0, grant, id};
            return {flow == 1 ? 2 : 1, start, id};
        }
    };

    turnstile::limits set;
    bool is_open = true;
    std::map<std::string, unsigned> model_limit;
    std::set<std::string> blocked;
    std::vector<one> all;

    turnstile::answer arrive(const visitor& v, turnstile::ticket id, instant now)
    {
        grow_old(now);
        one o;
        o.id = id;
        o.who = v;
        o.arrived = now;
        o.flow = v.background ? 1 : 0;
        o.weight = std::max(1u, v.weight);
        o.turns = charge(o);
        o.start = std::max(clock_[v.background], end_[v.client][o.flow]);
        o.came_at = clock_[0];
        const auto* first = in_turn();
        if (is_open && may_start(v.model) && fits(o) && !(first && first->key() < o.key())) {
            end_[v.client][o.flow] = o.start + o.turns * queueing::turn;
            run(o);  // before it is listed: it never waited
            all.push_back(o);
            return turnstile::answer::granted;
        }
        const auto free = set.max_waiting - std::min(set.max_waiting, waiting());
        const auto own = set.max_waiting_per_client;
        auto said = turnstile::answer::waiting;
        if (free == 0)
            said = turnstile::answer::full;
        else if (waiting_of(v.client) >= (own > 0 ? own : free))
            said = turnstile::answer::client_full;
        if (said == turnstile::answer::waiting) {
            end_[v.client][o.flow] = o.start + o.turns * queueing::turn;
            all.push_back(o);
        }
        maybe_reset();
        return said;
    }

    turnstile::ticket next(instant now)
    {
        grow_old(now);
        auto* first = in_turn();
        if (!is_open || !first || !fits(*first))
            return 0;
        run(*first);
        return first->id;
    }

    void leave(turnstile::ticket t)
    {
        auto* gone = find(t, false);
        if (!gone)
            return;
        if (!gone->put_back) {
            std::vector<one*> behind;
            for (auto& o : all) {
                if (!o.runs && !o.put_back && o.who.client == gone->who.client &&
                    o.flow == gone->flow && o.id > gone->id)
                    behind.push_back(&o);
            }
            auto free_from = gone->start;
            int moved = 0;
            for (auto* o : behind) {
                if (moved++ == queueing::clients::moved_up)
                    break;
                o->start = std::min(o->start, std::max(free_from, clock_[o->flow == 1]));
                free_from = o->start + o->turns * queueing::turn;
            }
            if (behind.size() <= queueing::clients::moved_up)
                end_[gone->who.client][gone->flow] = free_from;
        }
        drop(t);
    }

    void finish(turnstile::ticket t)
    {
        if (find(t, true))
            drop(t);
    }

    void put_back(turnstile::ticket t)
    {
        if (auto* o = find(t, true)) {
            o->runs = false;
            o->put_back = true;
        }
    }

    std::size_t position(turnstile::ticket t)
    {
        const auto* me = find(t, false);
        if (!me)
            return 0;
        return 1 + count([&](const one& o) { return !o.runs && o.key() < me->key(); });
    }

    std::size_t waiting() const
    {
        return count([](const one& o) { return !o.runs; });
    }
    std::size_t waiting_of(const std::string& client) const
    {
        return count([&](const one& o) { return !o.runs && o.who.client == client; });
    }
    unsigned in_use() const
    {
        unsigned n = 0;
        for (const auto& o : all)
            n += o.runs ? o.charged : 0;
        return n;
    }
    template <class Which>
    std::size_t count(Which which) const
    {
        return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), which));
    }
    bool may_start(const std::string& model) const
    {
        const auto limit = model_limit.find(model);
        const auto running = count([&](const one& o) { return o.runs && o.who.model == model; });
        return !blocked.count(model) &&
               (limit == model_limit.end() || limit->second == 0 || running < limit->second);
    }
    one* find(turnstile::ticket t, bool runs)
    {
        for (auto& o : all) {
            if (o.id == t && o.runs == runs)
                return &o;
        }
        return nullptr;
    }

private:
    unsigned charge(const one& o) const { return std::min(o.weight, std::max(1u, set.capacity)); }
    bool fits(const one& o) const { return in_use() + charge(o) <= set.capacity; }

    one* in_turn()
    {
        one* first = nullptr;
        for (auto& o : all) {
            if (!o.runs && may_start(o.who.model) && (!first || o.key() < first->key()))
                first = &o;
        }
        return first;
    }

    void run(one& o)
    {
        if (!o.put_back) {
            std::set<std::string> clients;
            for (const auto& w : all) {
                if (!w.runs)
                    clients.insert(w.who.client);
            }
            auto& clock = clock_[o.flow == 1];
            const auto share = 2 * std::max<std::size_t>(32, clients.size());
            clock = std::max(clock, o.start) +
                    std::max<std::uint64_t>(1, o.turns * queueing::turn / share);
        }
        o.charged = charge(o);
        o.grant = ++grants_;
        o.put_back = false;
        o.runs = true;
    }
    void grow_old(instant now)
    {
        for (auto& o : all) {
            if (o.runs || o.put_back || o.flow != 1 || now - o.arrived < std::chrono::minutes(30))
                continue;
            o.flow = 2;
            auto& end = end_[o.who.client][2];
            o.start = std::max(o.came_at, end);
            end = o.start + o.turns * queueing::turn;
        }
    }

    void drop(turnstile::ticket t)
    {
        std::erase_if(all, [&](const one& o) { return o.id == t; });
        maybe_reset();
    }
    void maybe_reset()
    {
        if (!all.empty())
            return;
        end_.clear();
        clock_ = {};
    }

    std::map<std::string, std::array<std::uint64_t, 3>> end_;
    std::array<std::uint64_t, 2> clock_{};
    std::uint64_t grants_ = 0;
};

}  // namespace gateway
