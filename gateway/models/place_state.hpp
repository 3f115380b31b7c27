// What the fleet keeps of one upstream between two looks. Private to this room.
#pragma once

#include "models/fleet.hpp"

namespace gateway {

// After "server busy" one more permit is tried so often.
inline constexpr auto recovers_every = std::chrono::seconds(10);

inline bool in(place_set s, place_id p)
{
    return (s >> p & 1) != 0;
}

inline place_set only(place_id p)
{
    return place_set(1) << p;
}

struct fleet::place_state {
    bool up = true;
    bool has_budget = false;
    std::set<std::string, std::less<>> held;      // no new permits: their room is needed
    std::set<std::string, std::less<>> retiring;  // an operator wants them gone
    std::set<lane_key> direct_lanes;  // their load was refused: the next of each goes itself, alone
    bool direct_out = false;
    // The last swap: its model, and how many calls of it since it was loaded make it even.
    std::string swapped_in;
    std::size_t owed_until = 0;
    bool load_swaps = false;  // the load that is out is a swap
    std::optional<lane_key> making_room_for;
    // After "server busy":
    unsigned busy_limit = 0;  // 0: none
    instant recovers_at{};
    instant paused_until{};
    duration pause{};
};

}  // namespace gateway
