// One visitor of a turnstile, as the rooms behind it keep it: where it stands, and what it was
// charged. Names are kept once, by its client's line and its model's lane. Pure.
#pragma once

#include "admission/fair_order.hpp"
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
    model_lane* model = nullptr;
    place where;
    fair_tag start = 0;
    fair_tag came_at = 0;    // the interactive clock at its arrival: its start tag should it age
    guest* ahead = nullptr;  // of its client, in its flow
    guest* behind = nullptr;
    instant arrived;
    instant started;
    std::uint64_t grant = 0;
    unsigned weight = 1;
    unsigned turns = 1;    // what it costs its client
    unsigned charged = 0;  // permits held while it runs
    flow in = flow::interactive;
    bool lined_up = false;  // stands in its client's line (not: put back, running)
};

// Finds a std::string key by a view of it.
struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
};

}  // namespace gateway::queueing
