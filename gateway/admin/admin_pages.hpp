// What operators ask on the admin port: metrics, health, status, control (SPEC §11).
#pragma once

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
        site& upstream;
        metrics& counted;
        queue_pages& queue;
        const session_host& clients;
        const session_host& admins;
        const memory_budget& memory;
        const bool& draining;
        instant started;
        std::function<std::vector<std::string>()> warnings;  // what an operator should know
        std::function<reload_outcome()> reload;
        std::function<void()> drain;
        std::function<std::vector<std::string>()> public_addresses;
    };
    explicit admin_pages(surroundings s);

    awaitable<void> answer(const page_request& r, responder& to) override;
    // Notes how many wait and run, for /status/history; to be called now and then.
    void remember(instant now);

private:
    void control(const page_request& r, responder& to);
    std::vector<gauge_family> gauges() const;
    std::string status(std::string_view query) const;
    std::string history_columns() const;

    surroundings with_;
    status_feed feed_;
};

}  // namespace gateway
