// What operators ask on the admin port: metrics, health, status, control (SPEC §11).
#pragma once

#include "admin/model_counts.hpp"
#include "admin/queue_pages.hpp"
#include "admin/status_feed.hpp"
#include "downstream/session.hpp"
#include "telemetry/metrics.hpp"

#include <functional>
#include <string>
#include <vector>

namespace gateway {

// What became of reading the configuration again.
struct reload_outcome {
    bool taken = false;
    std::vector<std::string> notes;  // every mistake; or, when taken, what waits for a restart
};

class admin_pages : public pages {
public:
    struct surroundings {
        exchange& calls;
        fleet& upstreams;
        const admission& generations;
        const admission& embeddings;
        metrics& counted;
        queue_pages& queue;
        job_pages& jobs;
        const session_host& clients;
        const session_host& admins;
        const memory_budget& memory;
        const bool& draining;
        instant started;
        std::function<std::shared_ptr<const config>()> settings;
        std::function<job_counts()> counted_jobs;
        std::function<std::vector<std::string>()> warnings;  // what an operator should know
        std::function<reload_outcome()> reload;
        std::function<void()> drain;
        std::function<std::vector<std::string>()> public_addresses;
    };
    explicit admin_pages(surroundings s);

    // Who may change something was decided before (downstream/permission.hpp).
    awaitable<void> answer(const page_request& r, responder& to) override;
    std::uint64_t longest_body(const request_head& head, const config& c) const override
    {
        return with_.jobs.longest_body(head, c);
    }
    // Notes how many wait and run, for /status/history; to be called now and then.
    void remember(instant now);

private:
    live_rooms rooms() const { return {with_.upstreams, with_.generations, with_.embeddings}; }
    void control(const page_request& r, responder& to);
    std::vector<gauge_family> gauges() const;
    std::string status(std::string_view query) const;
    std::string history_columns() const;

    surroundings with_;
    status_feed feed_;
};

}  // namespace gateway
