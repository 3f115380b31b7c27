// Jobs over HTTP (SPEC §10): submitting, looking, following, and having them end. The public port
// shows a job to whoever it belongs to, the admin port shows all.
#pragma once

#include "admin/job_intake.hpp"
#include "downstream/pages.hpp"
#include "jobs/job_runner.hpp"
#include "stream/frames.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gateway {

// What the pages of both ports stand on. Owned by the gateway.
struct job_room {
    store_thread& store;
    job_runner& runner;
    memory_budget& memory;
    std::function<std::shared_ptr<const config>()> settings;
    const bool& draining;
};

class job_pages : public pages, public later {
public:
    enum class port : std::uint8_t { open, admin };
    // `room`: none when jobs are off.
    job_pages(const job_room* room, port at) : room_(room), at_(at) {}

    awaitable<void> answer(const page_request& r, responder& to) override;
    awaitable<void> take(const call& c, const page_request& r, responder& to) override;

    std::uint64_t longest_body(const request_head& head, const config& c) const override;

    static bool are_at(std::string_view path);

private:
    job_scope scope_of(const identity& who) const;
    awaitable<void> submit(const page_request& r, responder& to);
    awaitable<void> list(const page_request& r, responder& to);
    awaitable<void> show(std::string id, const page_request& r, responder& to);
    awaitable<void> events(std::string id, const page_request& r, responder& to);
    awaitable<void> change(std::string id, std::string verb, const page_request& r, responder& to);
    std::string status_event(const job& j, std::uint64_t before, std::string_view languages) const;

    const job_room* room_;
    port at_;
};

// The words for a store that cannot be used.
fault unusable(const store_error& e);

}  // namespace gateway
