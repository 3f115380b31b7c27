// One visitor of a turnstile, as the rooms behind it keep it: where it stands, where it runs, and
// what it was charged. Names are kept once, by its client's line and its lane. Pure.
#pragma once

#include "admission/fair_order.hpp"
#include "admission/turnstile.hpp"
#include "base/clock.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace gateway::queueing {

struct client_lines;
struct model_lane;

// A client's flows: each is served in order of arrival, and they do not delay each other.
enum class flow : std::uint8_t { interactive, background, aged };
inline constexpr std::size_t flows = 3;

struct guest {
    client_lines* client = nullptr;
    model_lane* lane = nullptr;
    standing where;
    fair_tag start = 0;
    fair_tag came_at = 0;    // the interactive clock at its arrival: its start tag should it age
    guest* ahead = nullptr;  // of its client, in its flow
    guest* behind = nullptr;
    instant arrived;
    instant started;
    std::uint64_t grant = 0;
    unsigned weight = 1;   // 0: an errand
    unsigned turns = 1;    // what it costs its client
    unsigned charged = 0;  // permits held while it runs
    place_id at = 0;       // where it runs
    flow in = flow::interactive;
    std::uint64_t foreseen_by = 0;  // the look at the order to come that it was last numbered in
    std::size_t foreseen = 0;       // and its number
    bool lined_up = false;  // stands in its client's line (not: an errand, put back, running)

    bool errand() const { return weight == 0; }
};

// Finds a std::string key by a view of it.
struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
};

// One hash of two.
inline std::size_t mixed(std::size_t one, std::size_t other)
{
    return one ^ (other + 0x9e3779b97f4a7c15u + (one << 6) + (one >> 2));
}

}  // namespace gateway::queueing
