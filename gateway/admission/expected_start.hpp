// How long until a waiting call starts, from what runs, what stands before it, and the averages of
// their models. Several places count as one with all their permits. Pure.
#pragma once

#include "admission/estimate.hpp"
#include "admission/guest.hpp"
#include "admission/model_lanes.hpp"
#include "admission/places.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace gateway::queueing {

using guests = std::map<std::uint64_t, guest>;  // by ticket

// Until `g` starts at one of these places. None when a model that runs there or comes before it has
// no average yet, or when they have no permits.
inline std::optional<duration> until_start(const guest& g, place_set where, const places& all,
                                           const model_lanes& lanes, const guests& running,
                                           instant now)
{
    const auto capacity = all.capacity_of(where);
    if (capacity == 0)
        return std::nullopt;
    const auto& own = *g.lane->model;
    double permits_ahead = 0;
    double work = 0;  // permits times clock ticks
    std::size_t own_ahead = 0;
    for (const auto* l : lanes.busy()) {
        const auto ahead = l->calls.order_of_key(g.where);
        if (l->model == &own)
            own_ahead += ahead;
        if (ahead == 0)
            continue;
        if (!l->model->service.known())
            return std::nullopt;
        const auto mean_weight = std::min<double>(
            static_cast<double>(l->waiting_weight) / static_cast<double>(l->calls.size()),
            capacity);
        const auto permits = static_cast<double>(ahead) * mean_weight;
        permits_ahead += permits;
        work += permits * static_cast<double>(l->model->service.value().count());
    }
    std::vector<expected_return> out;
    std::vector<expected_return> of_own;
    out.reserve(running.size());
    for (const auto& [ticket, r] : running) {
        if (r.errand() || (where >> r.at & 1) == 0)
            continue;
        const auto& service = r.lane->model->service;
        if (!service.known())
            return std::nullopt;
        const auto left = service.left_after(now - r.started);
        out.push_back({left, r.charged});
        if (r.lane->model == &own)
            of_own.push_back({left, 1});
    }
    const duration mean(permits_ahead > 0 ? static_cast<duration::rep>(work / permits_ahead) : 0);
    const auto ahead = static_cast<std::size_t>(permits_ahead + 0.5);
    auto until = until_free(out, capacity, ahead + std::min(g.weight, capacity) - 1, mean);
    if (const auto limit = own.limit_over(where); limit > 0)
        until = std::max(until, until_free(of_own, limit, own_ahead, own.service.value()));
    return until;
}

// For a Retry-After: from 1 to 60; a guess while nothing is known.
inline int in_seconds(std::optional<duration> until)
{
    constexpr duration assumed = std::chrono::seconds(5);
    const auto whole = std::chrono::ceil<std::chrono::seconds>(until.value_or(assumed));
    return static_cast<int>(std::clamp<std::int64_t>(whole.count(), 1, 60));
}

}  // namespace gateway::queueing
