// The order of a turnstile: start-time fair queueing. Each visitor gets a start tag, the later of
// the virtual time and the end of what its client asked for before; who has the smallest goes
// first, so a client with a hundred calls waiting and one with a single call alternate. Pure.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace gateway::queueing {

// Virtual time: one permit's turn is `turn` units.
using fair_tag = std::uint64_t;
inline constexpr fair_tag turn = 1u << 16;

// Plain start-time fair queueing sets the clock to the start tag of whom it serves. Then a stream
// of clients never seen before, each starting at "now", would hold the clock and starve a waiting
// call that is not its client's first. So every turn served also moves the clock a little: no
// visitor is overtaken by more than about 2 * max(32, clients waiting) later ones per turn its
// client stands ahead.
class virtual_clock {
public:
    fair_tag now() const { return now_; }
    void served(fair_tag start, unsigned turns, std::size_t clients_waiting)
    {
        const auto share = 2 * std::max<std::size_t>(32, clients_waiting);
        now_ = std::max(now_, start) + std::max<fair_tag>(1, turns * turn / share);
    }

private:
    fair_tag now_ = 0;
};

// Where a visitor stands in the order; no two are equal.
struct standing {
    enum class rank : std::uint8_t { head, interactive, background };

    fair_tag tag = 0;  // the rank is in the two highest bits
    std::uint64_t ticket = 0;

    static standing of(rank r, fair_tag t, std::uint64_t ticket)
    {
        return {static_cast<fair_tag>(r) << 62 | t, ticket};
    }
    auto operator<=>(const standing&) const = default;
};

}  // namespace gateway::queueing
