// How long until a waiting call starts, from what runs, what stands before it, and the averages of
// their models. Several places count as one with all their permits. Pure.
#pragma once

#include "admission/estimate.hpp"
#include "admission/foresight.hpp"
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

// What goes before `g` when all go in the order they stand in.
inline ahead ahead_as_they_stand(const guest& g, const places& all, const model_lanes& lanes)
{
    ahead before;
    const auto capacity = all.capacity_of(all.open() & ~g.lane->key->barred);
    for (const auto* l : lanes.busy()) {
        const auto n = l->calls.order_of_key(g.where);
        if (l->model == g.lane->model)
            before.own_model += n;
        if (n == 0)
            continue;
        before.known = before.known && l->model->service.known();
        const auto mean_weight = std::min<double>(
            static_cast<double>(l->waiting_weight) / static_cast<double>(l->calls.size()),
            capacity);
        const auto permits = static_cast<double>(n) * mean_weight;
        before.permits += permits;
        before.work += permits * static_cast<double>(l->model->service.value().count());
    }
    return before;
}

// Until `g` starts at one of these places. None when a model that runs there or comes before it has
// no average yet, or when they have no permits.
inline std::optional<duration> until_start(const guest& g, const ahead& before, place_set where,
                                           const places& all, const guests& running, instant now)
{
    const auto capacity = all.capacity_of(where);
    if (capacity == 0 || !before.known)
        return std::nullopt;
    const auto& own = *g.lane->model;
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
    const duration mean(
        before.permits > 0 ? static_cast<duration::rep>(before.work / before.permits) : 0);
    const auto permits = static_cast<std::size_t>(before.permits + 0.5);
    auto until = until_free(out, capacity, permits + std::min(g.weight, capacity) - 1, mean);
    if (const auto limit = own.limit_over(where); limit > 0)
        until = std::max(until, until_free(of_own, limit, before.own_model, own.service.value()));
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
