// GET /status/events: the status as server-sent events, when something changed and at least each
// second. Everybody who listens is told from the same snapshots; while nobody does, none is made.
#pragma once

#include "downstream/pages.hpp"

#include <functional>
#include <memory>
#include <string>

namespace gateway {

// A fingerprint of what a status says, but for what only counts on (ages, times, chunks): two of
// them are equal when nothing has changed. Pure.
std::size_t what_stands(std::string_view status);

class status_feed {
public:
    // `status`: the text of GET /status.
    explicit status_feed(std::function<std::string()> status) : status_(std::move(status)) {}

    // Tells until the listener leaves.
    awaitable<void> tell(responder& to);

private:
    struct snapshot {
        std::string text;
        std::size_t standing;
        instant at;
    };
    std::shared_ptr<const snapshot> look(instant now);

    std::function<std::string()> status_;
    std::shared_ptr<const snapshot> last_;
    duration pace_ = std::chrono::milliseconds(100);
};

}  // namespace gateway
