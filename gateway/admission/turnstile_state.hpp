// What stands behind a turnstile's door: the visitors and the books about them, who of them goes
// next and where, and who may wait. Private to turnstile.cpp. Pure.
#pragma once

#include "admission/clients.hpp"
#include "admission/expected_start.hpp"
#include "admission/foresight.hpp"
#include "admission/guest.hpp"
#include "admission/known_models.hpp"
#include "admission/model_lanes.hpp"
#include "admission/places.hpp"
#include "admission/served_before.hpp"
#include "admission/turnstile.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <set>
#include <utility>

namespace gateway {

struct turnstile::state {
    using guest = queueing::guest;
    using guests = queueing::guests;
    using model_lane = queueing::model_lane;

    // A background visitor that has waited this long is ordered as if it had come as an
    // interactive.
    static constexpr duration ages_after = std::chrono::minutes(30);

    limits set;
    const doors* at;
    queueing::places places;
    ticket last_ticket = 0;
    std::uint64_t grants = 0;
    guests calls;    // that wait
    guests errands;  // that wait
    guests running;
    guests::node_type left;  // by the last that ran, for the next
    std::set<ticket> young;  // background visitors that have not aged yet
    queueing::clients who;
    queueing::known_models models;
    queueing::model_lanes lanes;
    queueing::served_before served_before;
    // The order to come, looked at when somebody asks.
    std::uint64_t changes = 1;     // so often something was done that may have changed it
    std::uint64_t seen_plain = 0;  // as of which change
    bool plain = true;             // all go in the order they stand in
    std::uint64_t foreseen = 0;    // as of which change
    instant foresee_again = instant::min();
    queueing::foresight order;

    state(limits l, const doors& at_doors, place_id n)
        : set(l), at(&at_doors), places(n), models(places.size()), lanes(models)
    {
    }

    state& changed()
    {
        ++changes;
        return *this;
    }

    // Asks the doors of a lane, once for all that is decided of it now.
    void look(model_lane& l) const
    {
        l.doors_open = at->open_to(*l.key) & ~l.key->barred & places.open();
        l.may_start = l.doors_open & ~l.model->full();
    }
    void look_at_all() const
    {
        for (auto* l : lanes.busy())
            look(*l);
    }

    // The first call in order of those that could start at other places than these, were enough
    // permits free. As of the last look.
    guest* first_call(place_set kept) const
    {
        guest* first = nullptr;
        for (const auto* l : lanes.busy()) {
            if ((l->may_start & ~kept) == 0)
                continue;
            auto* head = l->first_call();
            if (head && (!first || head->where < first->where))
                first = head;
        }
        return first;
    }
    guest* first_errand() const
    {
        guest* first = nullptr;
        for (const auto* l : lanes.busy()) {
            auto* head = l->doors_open != 0 ? l->first_errand() : nullptr;
            if (head && (!first || head->where < first->where))
                first = head;
        }
        return first;
    }

    // Where it goes, of places that its door is open to; none where enough permits are free.
    std::optional<place_id> choose(const guest& g, place_set among) const
    {
        place_set fit = 0;
        queueing::for_each_place(among, [&](place_id p) {
            if (places.fits(g.weight, p))
                fit |= place_set{1} << p;
        });
        if (fit == 0)
            return std::nullopt;
        if (!std::has_single_bit(fit)) {
            const auto before = served_before.last(g.client->hash, g.lane->model->hash);
            if (before && (fit >> *before & 1) != 0)
                return before;
        }
        return places.least_busy(fit);
    }

    struct going {
        guest* who = nullptr;
        place_id at = 0;
    };
    // Who goes next. The first call that may start somewhere and needs more permits than are free
    // there keeps what is free at these places for itself; the others may go elsewhere. Errands
    // take no permits: they go past the calls.
    going in_turn() const
    {
        guest* errand = errands.empty() ? nullptr : first_errand();
        place_set kept = 0;
        while (auto* call = calls.empty() ? nullptr : first_call(kept)) {
            if (errand && errand->where < call->where)
                break;
            if (const auto p = choose(*call, call->lane->may_start & ~kept))
                return {call, *p};
            kept |= call->lane->may_start;
        }
        if (errand)
            return {errand, *choose(*errand, errand->lane->doors_open)};
        return {};
    }

    // Where a call that comes at this standing could start before none that stands before it.
    place_set left_by_those_before(const guest& g) const
    {
        place_set wanted = 0;
        for (const auto* l : lanes.busy()) {
            const auto* head = l->first_call();
            if (head && head->where < g.where)
                wanted |= l->may_start;
        }
        return g.lane->may_start & ~wanted;
    }

    void grow_old(instant now)
    {
        while (!young.empty()) {
            auto& g = *find_waiting(*young.begin());
            if (now - g.arrived < ages_after)
                return;
            young.erase(young.begin());
            lanes.stand_out(g);
            who.grow_old(g);
            lanes.stand_in(g);
        }
    }

    guests& room_of(const guest& g) { return g.errand() ? errands : calls; }

    // It waits no longer, and its turn was taken or given up.
    void wait_no_more(guest& g)
    {
        who.count_not_waiting(g);
        order.gone(g);
        young.erase(g.where.ticket);
    }

    // One that need not wait.
    guest& run(const guest& g)
    {
        if (left.empty())
            return running.emplace(g.where.ticket, g).first->second;
        left.key() = g.where.ticket;
        left.mapped() = g;
        return running.insert(running.end(), std::move(left))->second;
    }
    void run_no_more(guests::iterator at) { left = running.extract(at); }

    void start(guest& g, place_id p, instant now)
    {
        g.at = p;
        g.charged = places.charge(g.weight, p);
        g.started = now;
        g.grant = ++grants;
        places.take(p, g.charged);
        ++g.lane->running;
        g.lane->model->used = grants;
        g.lane->served();
        if (!g.errand()) {
            g.lane->model->began(p);
            note_passed(g, now);
        }
        who.forget_some();
    }

    // A waiting one starts.
    void let_go(guest& g, place_id p, instant now)
    {
        lanes.stand_out(g);
        who.served(g, false);
        wait_no_more(g);
        running.insert(room_of(g).extract(g.where.ticket));
        start(g, p, now);
    }

    // Lanes that stood before it, and whose doors are shut, were passed. As of the last look.
    void note_passed(const guest& g, instant now) const
    {
        for (auto* l : lanes.busy()) {
            if (l == g.lane || l->doors_open != 0 || !(l->head()->where < g.where))
                continue;
            if (l->passed++ == 0)
                l->passed_since = now;
        }
    }

    void stop(const guest& g)
    {
        places.give_back(g.at, g.charged);
        --g.lane->running;
        if (!g.errand())
            g.lane->model->ended(g.at);
    }

    void maybe_forget(queueing::client_lines& c, model_lane& l)
    {
        lanes.maybe_forget(l);
        if (calls.empty() && errands.empty() && running.empty())
            who.forget_all();
        else
            who.maybe_forget(c);
    }

    // Do all calls that wait go in the order they stand in? Those of one lane do, and those of
    // several that may start at the same places.
    bool as_they_stand()
    {
        if (std::exchange(seen_plain, changes) == changes)
            return plain;
        std::optional<place_set> same;
        std::size_t n = 0;
        bool alike = true;
        for (auto* l : lanes.busy()) {
            if (l->calls.empty())
                continue;
            look(*l);
            ++n;
            alike = alike && l->doors_open != 0 && !l->model->limited() &&
                    same.value_or(l->doors_open) == l->doors_open;
            same = l->doors_open;
        }
        plain = n <= 1 || alike;
        return plain;
    }
    // A look costs some nanoseconds for each call and lane, and takes its rest after it; a small
    // queue is looked at after every change.
    void foresee(instant now)
    {
        constexpr std::size_t little = 1000;
        constexpr duration rest_each = std::chrono::microseconds(4);
        constexpr duration longest_rest = std::chrono::seconds(1);
        if (foreseen == changes || now < foresee_again)
            return;
        const auto effort = order.look({places, lanes, running, served_before, *at}, now);
        foreseen = changes;
        foresee_again =
            effort <= little
                ? instant::min()
                : now + std::min(longest_rest, rest_each * static_cast<duration::rep>(effort));
    }

    std::size_t position(guest& g, instant now)
    {
        if (g.errand())
            return 0;
        if (as_they_stand())
            return lanes.before(g.where) + 1;
        foresee(now);
        return order.position(g);
    }

    std::optional<duration> until_start(const guest& g, const queueing::ahead& before,
                                        instant now) const
    {
        if (g.lane->doors_open == 0)
            return std::nullopt;
        return queueing::until_start(g, before, places.open() & ~g.lane->key->barred, places,
                                     running, now);
    }

    // Until that one leaves its waiting place for a permit.
    std::optional<duration> until_place(guest* g, instant now)
    {
        if (!g || g->errand())
            return std::nullopt;
        look(*g->lane);
        if (as_they_stand())
            return until_start(*g, queueing::ahead_as_they_stand(*g, places, lanes), now);
        foresee(now);
        return until_start(*g, order.before(*g), now);
    }

    // Why `g`, which cannot go at once, may not even wait; `waiting` when it may.
    arrival refuse_or_wait(const guest& g, instant now)
    {
        const arrival waits{answer::waiting, g.where.ticket};
        if (g.errand())
            return waits;
        const auto free = set.max_waiting - std::min(set.max_waiting, calls.size());
        if (free == 0)
            return refused(answer::full, until_place(first_call(0), now));
        const auto own = set.max_waiting_per_client;
        if (g.client->waiting >= (own > 0 ? own : free)) {
            auto* first = own > 0 ? g.client->first() : first_call(0);
            return refused(answer::client_full, until_place(first, now));
        }
        if (set.max_wait > duration::zero()) {
            const auto until = until_start(g, queueing::ahead_as_they_stand(g, places, lanes), now);
            if (until && *until > set.max_wait)
                return refused(answer::too_long, *until - set.max_wait);
        }
        return waits;
    }
    static arrival refused(answer why, std::optional<duration> until)
    {
        return {why, 0, 0, queueing::in_seconds(until)};
    }

    guest* find_waiting(ticket t)
    {
        if (const auto at = calls.find(t); at != calls.end())
            return &at->second;
        const auto at = errands.find(t);
        return at == errands.end() ? nullptr : &at->second;
    }
    guest* find_running(ticket t)
    {
        const auto at = running.find(t);
        return at == running.end() ? nullptr : &at->second;
    }
};

}  // namespace gateway
