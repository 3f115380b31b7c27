// The clients of a turnstile: their lines, which give each visitor its start tag, and the virtual
// time they are measured by (fair_order.hpp). A client that has nothing here and no debt is
// forgotten. Pure.
#pragma once

#include "admission/guest.hpp"
#include "admission/model_lanes.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

namespace gateway::queueing {

struct client_lines {
    struct line {
        guest* first = nullptr;
        guest* last = nullptr;
        fair_tag end = 0;  // where its next one starts, unless the clock is past it
    };
    const std::string* name = nullptr;
    std::size_t hash = 0;  // of the name
    std::array<line, flows> lines{};
    std::size_t waiting = 0;  // calls
    std::size_t here = 0;     // visitors of any kind, waiting or running
    bool dormant = false;     // listed among those to be forgotten

    line& line_of(flow f) { return lines[static_cast<std::size_t>(f)]; }
    const line& line_of(flow f) const { return lines[static_cast<std::size_t>(f)]; }
    bool away() const { return here == 0; }
    guest* first() const
    {
        guest* first = nullptr;
        for (const auto& l : lines) {
            if (l.first && (!first || l.first->where < first->where))
                first = l.first;
        }
        return first;
    }
};

class clients {
public:
    // When a visitor leaves, this many of its client's next ones move up: a leave stays cheap.
    static constexpr int moved_up = 4;

    client_lines& named(std::string_view name)
    {
        if (newest_ && *newest_->name == name)
            return *newest_;
        auto at = all_.find(name);
        if (at == all_.end()) {
            at = all_.try_emplace(std::string(name)).first;
            at->second.name = &at->first;
            at->second.hash = text_hash()(name);
        }
        newest_ = &at->second;
        return at->second;
    }
    const client_lines* find(std::string_view name) const
    {
        const auto at = all_.find(name);
        return at == all_.end() ? nullptr : &at->second;
    }

    // Gives a visitor that comes its place; its client's line is not changed yet. An errand stands
    // where its client would if it had nothing else here: it takes nobody's turn.
    void place_at_end(guest& g, std::uint64_t ticket) const
    {
        const auto now = clock(g.in).now();
        g.start = g.errand() ? now : std::max(now, g.client->line_of(g.in).end);
        g.came_at = clock(flow::interactive).now();
        const auto r =
            g.in == flow::background ? standing::rank::background : standing::rank::interactive;
        g.where = standing::of(r, g.start, ticket);
    }

    // A background visitor is from now on ordered as if it had come as an interactive one. It must
    // stand in no lane meanwhile.
    void grow_old(guest& g)
    {
        line_out(g);
        g.in = flow::aged;
        g.start = g.came_at;
        if (!g.errand())
            g.start = std::max(g.start, g.client->line_of(flow::aged).end);
        g.where = standing::of(standing::rank::interactive, g.start, g.where.ticket);
        if (!g.errand())
            line_up(g);
    }

    void line_up(guest& g)
    {
        auto& l = charge(g);
        g.ahead = l.last;
        g.behind = nullptr;
        (l.last ? l.last->behind : l.first) = &g;
        l.last = &g;
        g.lined_up = true;
    }

    void line_out(guest& g)
    {
        if (!g.lined_up)
            return;
        auto& l = g.client->line_of(g.in);
        (g.ahead ? g.ahead->behind : l.first) = g.behind;
        (g.behind ? g.behind->ahead : l.last) = g.ahead;
        g.lined_up = false;
    }

    // `g` gives up. Those of its client behind it take the turns before theirs, so that calls given
    // up do not cost the client its share. They stay in order, and none goes before the clock, that
    // is before a client that comes now.
    void give_up(guest& g, model_lanes& lanes)
    {
        if (!g.lined_up)
            return;
        auto free_from = g.start;
        auto* next = g.behind;
        for (int moved = 0; next && moved < moved_up; next = next->behind, ++moved) {
            const auto earlier = std::min(next->start, std::max(free_from, clock(g.in).now()));
            if (earlier < next->start) {
                lanes.stand_out(*next);
                next->where.tag -= next->start - earlier;
                next->start = earlier;
                lanes.stand_in(*next);
            }
            free_from = next->start + next->turns * turn;
        }
        if (!next)
            g.client->line_of(g.in).end = free_from;
        line_out(g);
    }

    // `g` goes from its line, or at once: its client has had a turn. An errand is none.
    void served(guest& g, bool at_once)
    {
        if (g.errand())
            return;
        if (at_once)
            charge(g);
        else if (!g.lined_up)
            return;  // put back: its turn was counted before
        clocks_[g.in == flow::background].served(g.start, g.turns, waiting_);
        line_out(g);
    }

    void count_waiting(const guest& g)
    {
        if (!g.errand() && g.client->waiting++ == 0)
            ++waiting_;
    }
    void count_not_waiting(const guest& g)
    {
        if (!g.errand() && --g.client->waiting == 0)
            --waiting_;
    }

    // To be called when `c` may have nothing here any more.
    void maybe_forget(client_lines& c)
    {
        if (c.away() && !c.dormant) {
            c.dormant = true;
            dormant_.push_back(&c);
        }
        forget_some();
    }

    // A client is forgotten when it would start at the clock anyway. Two are looked at for each one
    // that can become dormant, so the list does not grow.
    void forget_some()
    {
        for (int looked = 0; looked < 2 && !dormant_.empty(); ++looked) {
            auto* c = dormant_.front();
            dormant_.pop_front();
            if (!c->away())
                c->dormant = false;
            else if (in_debt(*c))
                dormant_.push_back(c);
            else
                forget(*c);
        }
    }

    // Nobody is here: all are equal again. The one that came last may be the next to come, if it
    // is alone: it is made as new instead of anew.
    void forget_all()
    {
        if (!dormant_.empty())
            dormant_.clear();
        clocks_ = {};
        if (newest_ && all_.size() == 1) {
            newest_->lines = {};
            newest_->dormant = false;
            return;
        }
        newest_ = nullptr;
        all_.clear();
    }

private:
    void forget(client_lines& c)
    {
        if (newest_ == &c)
            newest_ = nullptr;
        all_.erase(all_.find(*c.name));
    }

    // Aged visitors are measured by the interactive clock.
    const virtual_clock& clock(flow f) const { return clocks_[f == flow::background]; }

    client_lines::line& charge(guest& g)
    {
        auto& l = g.client->line_of(g.in);
        l.end = g.start + g.turns * turn;
        return l;
    }

    bool in_debt(const client_lines& c) const
    {
        return c.line_of(flow::interactive).end > clock(flow::interactive).now() ||
               c.line_of(flow::background).end > clock(flow::background).now() ||
               c.line_of(flow::aged).end > clock(flow::aged).now();
    }

    std::unordered_map<std::string, client_lines, text_hash, std::equal_to<>> all_;
    client_lines* newest_ = nullptr;  // the one last asked for
    std::deque<client_lines*> dormant_;
    std::array<virtual_clock, 2> clocks_;  // interactive, background
    std::size_t waiting_ = 0;              // clients with waiting visitors
};

}  // namespace gateway::queueing
