// What anybody may ask on the public port: the queue, and their own call by its id (SPEC §6).
#pragma once

#include "admin/job_pages.hpp"
#include "admin/model_counts.hpp"
#include "downstream/pages.hpp"
#include "exchange/exchange.hpp"

#include <string>
#include <vector>

namespace gateway {

class queue_pages : public pages {
public:
    struct surroundings {
        exchange& calls;
        const fleet& upstreams;
        const admission& generations;
        const admission& embeddings;
    };
    explicit queue_pages(surroundings s)
        : calls_(s.calls), rooms_{s.upstreams, s.generations, s.embeddings}
    {
    }

    awaitable<void> answer(const page_request& r, responder& to) override;
    std::uint64_t longest_body(const request_head& head, const config& c) const override;
    // Who answers /gateway/jobs.
    void hand_jobs_to(job_pages& jobs) { jobs_ = &jobs; }

private:
    std::string queue() const;
    // A live or remembered call, when `who` may see it.
    std::optional<call_view> call_for(const std::string& id, const identity& who) const;
    // `v`: as it is now.
    awaitable<void> events(std::optional<call_view> v, responder& to) const;

    exchange& calls_;
    live_rooms rooms_;
    job_pages* jobs_ = nullptr;
};

// {"id":…,"phase":…,"position":…} (SPEC §A)
std::string call_json(const call_view& v);

}  // namespace gateway
