// The turnstile as one would write it on a napkin: one list, everything counted anew each time.
// What the real one must agree with, step by step.
#pragma once

#include "admission/clients.hpp"
#include "admission/turnstile.hpp"

#include <algorithm>
#include <array>
#include <limits>
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
        place_id at = 0;
        bool runs = false, put_back = false;
        bool from_head = false;  // was put back before it ran

        std::tuple<int, std::uint64_t, turnstile::ticket> key() const
        {
            if (put_back)
                return {0, grant, id};
            return {flow == 1 ? 2 : 1, start, id};
        }
        bool waits() const { return !runs; }
        bool call() const { return !who.errand; }
    };
    struct place {
        unsigned capacity = 0;
        bool is_open = true;
    };
    struct passes {
        std::size_t times = 0;
        instant since = instant::max();
    };

    naive_turnstile(turnstile::limits l, const doors& at, place_id n)
        : set(l), places(n), doors_(at)
    {
    }

    turnstile::limits set;
    std::vector<place> places;
    std::map<std::pair<place_id, std::string>, unsigned> model_limit;
    std::vector<one> all;

    turnstile::answer arrive(const visitor& v, turnstile::ticket id, instant now)
    {
        grow_old(now);
        one o;
        o.id = id;
        o.who = v;
        o.arrived = now;
        o.flow = v.background ? 1 : 0;
        o.weight = v.errand ? 0 : std::max(1u, v.weight);
        unsigned largest = 0;
        for (const auto& p : places)
            largest = std::max(largest, p.capacity);
        o.turns = std::min(o.weight, std::max(1u, largest));
        o.start = clock_[v.background];
        if (!v.errand)
            o.start = std::max(o.start, end_[v.client][o.flow]);
        o.came_at = clock_[0];
        std::set<place_id> where = may_start(o);
        for (const auto& other : all) {
            if (other.waits() && other.call() && o.call() && other.key() < o.key()) {
                for (const auto p : may_start(other))
                    where.erase(p);
            }
        }
        if (const auto p = choose(o, where); p != nowhere) {
            take_turn(o);
            run(o, p, now);  // before it is listed: it never waited
            all.push_back(o);
            return turnstile::answer::granted;
        }
        const auto free = set.max_waiting - std::min(set.max_waiting, waiting());
        const auto own = set.max_waiting_per_client;
        auto said = turnstile::answer::waiting;
        if (o.call() && free == 0)
            said = turnstile::answer::full;
        else if (o.call() && waiting_of(v.client) >= (own > 0 ? own : free))
            said = turnstile::answer::client_full;
        if (said == turnstile::answer::waiting) {
            take_turn(o);
            all.push_back(o);
        }
        tidy();
        return said;
    }

    turnstile::grant next(instant now)
    {
        grow_old(now);
        std::vector<one*> line;
        for (auto& o : all) {
            if (o.waits())
                line.push_back(&o);
        }
        std::sort(line.begin(), line.end(),
                  [](const one* a, const one* b) { return a->key() < b->key(); });
        std::set<place_id> kept;
        for (auto* o : line) {
            auto where = may_start(*o);
            if (o->call()) {
                for (const auto p : kept)
                    where.erase(p);
            }
            if (const auto p = choose(*o, where); p != nowhere) {
                run(*o, p, now);
                tidy();
                return {o->id, p};
            }
            kept.merge(where);
        }
        return {};
    }

    bool let_in(turnstile::ticket t, place_id p, instant now)
    {
        auto* o = find(t, false);
        if (!o || p >= places.size())
            return false;
        run(*o, p, now);
        tidy();
        return true;
    }

    void leave(turnstile::ticket t)
    {
        auto* gone = find(t, false);
        if (!gone)
            return;
        if (!gone->put_back && gone->call()) {
            std::vector<one*> behind;
            for (auto& o : all) {
                if (o.waits() && o.call() && !o.put_back && o.who.client == gone->who.client &&
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
        const auto* o = find(t, true);
        if (!o)
            return;
        if (o->call())
            served_[{o->who.client, o->who.lane.model}] = o->at;
        drop(t);
    }

    void put_back(turnstile::ticket t)
    {
        if (auto* o = find(t, true)) {
            o->runs = false;
            o->put_back = true;
        }
    }

    void move(turnstile::ticket t, const lane_key& to)
    {
        if (auto* o = find(t, false))
            o->who.lane = to;
        tidy();
    }

    // Do all calls that wait go in the order they stand in? Then positions are known here too.
    bool as_they_stand() const
    {
        std::set<std::set<place_id>> sets;
        std::set<lane_key> lanes;
        bool limited = false;
        for (const auto& o : all) {
            if (!o.waits() || !o.call())
                continue;
            sets.insert(open_at(o.who.lane));
            lanes.insert(o.who.lane);
            for (const auto& [at, limit] : model_limit)
                limited |= limit > 0 && at.second == o.who.lane.model;
        }
        return lanes.size() <= 1 || (!limited && sets.size() == 1 && !sets.begin()->empty());
    }
    std::size_t position(turnstile::ticket t)
    {
        const auto* me = find(t, false);
        if (!me || !me->call())
            return 0;
        return 1 +
               count([&](const one& o) { return o.waits() && o.call() && o.key() < me->key(); });
    }

    // The lanes that somebody waits in, in the order of their heads.
    std::vector<const one*> heads() const
    {
        std::map<lane_key, const one*> first;
        for (const auto& o : all) {
            if (!o.waits())
                continue;
            auto& head = first[o.who.lane];
            if (!head || o.key() < head->key())
                head = &o;
        }
        std::vector<const one*> found;
        for (const auto& [lane, head] : first)
            found.push_back(head);
        std::sort(found.begin(), found.end(),
                  [](const one* a, const one* b) { return a->key() < b->key(); });
        return found;
    }
    passes passed(const lane_key& lane) const
    {
        const auto at = passed_.find(lane);
        return at == passed_.end() ? passes{} : at->second;
    }

    std::size_t waiting() const
    {
        return count([](const one& o) { return o.waits() && o.call(); });
    }
    std::size_t waiting_of(const std::string& client) const
    {
        return count([&](const one& o) { return o.waits() && o.call() && o.who.client == client; });
    }
    std::size_t running(place_id p, const std::string& model) const
    {
        return count([&](const one& o) {
            return o.runs && o.call() && o.at == p && o.who.lane.model == model;
        });
    }
    unsigned in_use(place_id p) const
    {
        unsigned n = 0;
        for (const auto& o : all)
            n += o.runs && o.at == p ? o.charged : 0;
        return n;
    }
    template <class Which>
    std::size_t count(Which which) const
    {
        return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), which));
    }
    bool is_shut(const lane_key& lane) const { return open_at(lane).empty(); }
    std::set<place_id> may_start(const one& o) const
    {
        auto where = open_at(o.who.lane);
        std::erase_if(where, [&](place_id p) {
            const auto limit = model_limit.find({p, o.who.lane.model});
            return o.call() && limit != model_limit.end() && limit->second > 0 &&
                   running(p, o.who.lane.model) >= limit->second;
        });
        return where;
    }
    one* find(turnstile::ticket t, bool runs)
    {
        for (auto& o : all) {
            if (o.id == t && o.runs == runs)
                return &o;
        }
        return nullptr;
    }
    unsigned charge(const one& o, place_id p) const
    {
        return std::min(o.weight, std::max(1u, places[p].capacity));
    }

private:
    static constexpr place_id nowhere = most_places;

    std::set<place_id> open_at(const lane_key& lane) const
    {
        std::set<place_id> where;
        for (place_id p = 0; p < places.size(); ++p) {
            const auto bit = place_set{1} << p;
            if (places[p].is_open && (doors_.open_to(lane) & bit) && !(lane.barred & bit))
                where.insert(p);
        }
        return where;
    }

    place_id choose(const one& o, const std::set<place_id>& among) const
    {
        const auto before = served_.find({o.who.client, o.who.lane.model});
        auto best = nowhere;
        auto least = std::numeric_limits<double>::infinity();
        for (const auto p : among) {
            const auto capacity = places[p].capacity;
            if (charge(o, p) > capacity - std::min(capacity, in_use(p)))
                continue;
            if (before != served_.end() && before->second == p)
                return p;
            const auto busy = capacity > 0 ? static_cast<double>(in_use(p)) / capacity
                                           : std::numeric_limits<double>::infinity();
            if (best == nowhere || busy < least) {
                best = p;
                least = busy;
            }
        }
        return best;
    }

    void take_turn(one& o)
    {
        if (o.call())
            end_[o.who.client][o.flow] = o.start + o.turns * queueing::turn;
    }

    void run(one& o, place_id p, instant now)
    {
        if (o.call())
            pass_others(o, now);
        passed_.erase(o.who.lane);
        if (!o.put_back && o.call()) {
            std::set<std::string> clients;
            for (const auto& w : all) {
                if (w.waits() && w.call())
                    clients.insert(w.who.client);
            }
            auto& clock = clock_[o.flow == 1];
            const auto share = 2 * std::max<std::size_t>(32, clients.size());
            clock = std::max(clock, o.start) +
                    std::max<std::uint64_t>(1, o.turns * queueing::turn / share);
        }
        o.charged = charge(o, p);
        o.at = p;
        o.grant = ++grants_;
        o.from_head = o.put_back;
        o.put_back = false;
        o.runs = true;
    }
    void pass_others(const one& o, instant now)
    {
        for (const auto* head : heads()) {
            const auto& lane = head->who.lane;
            if (lane == o.who.lane || !is_shut(lane) || o.key() < head->key())
                continue;
            auto& p = passed_[lane];
            if (p.times++ == 0)
                p.since = now;
        }
    }
    void grow_old(instant now)
    {
        for (auto& o : all) {
            if (o.runs || o.put_back || o.flow != 1 || now - o.arrived < std::chrono::minutes(30))
                continue;
            o.flow = 2;
            o.start = o.came_at;
            if (!o.call())
                continue;
            auto& end = end_[o.who.client][2];
            o.start = std::max(o.start, end);
            end = o.start + o.turns * queueing::turn;
        }
    }

    void drop(turnstile::ticket t)
    {
        std::erase_if(all, [&](const one& o) { return o.id == t; });
        tidy();
    }
    // A lane that nobody waits in was passed by nobody; with nobody here all are equal again.
    void tidy()
    {
        std::erase_if(passed_, [&](const auto& p) {
            return count([&](const one& o) { return o.waits() && o.who.lane == p.first; }) == 0;
        });
        if (!all.empty())
            return;
        end_.clear();
        clock_ = {};
    }

    const doors& doors_;
    std::map<std::string, std::array<std::uint64_t, 3>> end_;
    std::array<std::uint64_t, 2> clock_{};
    std::map<std::pair<std::string, std::string>, place_id> served_;
    std::map<lane_key, passes> passed_;
    std::uint64_t grants_ = 0;
};

}  // namespace gateway
