#include "admin/admin_pages.hpp"

#include "admin/dashboard.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "call/model_name.hpp"

#include <algorithm>

namespace gateway {

namespace {

constexpr const char* metrics_type = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

// Listeners are told whole pages of what runs and of who waits first; a queue of thousands is a
// number to them.
admin_pages::admin_pages(surroundings s)
    : with_(std::move(s)), feed_([this] { return status("recent_limit=20&calls_limit=200"); })
{
}

awaitable<void> admin_pages::answer(const page_request& r, responder& to)
{
    const auto& path = r.head.path;
    const auto& method = r.head.method;
    auto fail = [&](fault_code code, const char* why) {
        to.fail({code, why, whose::client, retry::no, 0});
    };
    if (job_pages::are_at(path)) {
        co_await with_.jobs.answer(r, to);
        co_return;
    }
    if (path.starts_with("/gateway/")) {
        co_await with_.queue.answer(r, to);
        co_return;
    }
    bool controls = path == "/reload" || path == "/drain" ||
                    (path.starts_with("/calls/") && path.ends_with("/cancel")) ||
                    (path.starts_with("/models/") && path.ends_with("/unload"));
    bool reads = path == "/metrics" || path == "/healthz" || path == "/readyz" ||
                 path == "/status" || path == "/status/history" || path == "/status/events" ||
                 is_dashboard_path(path);
    if (!controls && !reads) {
        fail(fault_code::not_found, "no such page");
    } else if (controls ? method != "POST" : method != "GET" && method != "HEAD") {
        to.takes_only(controls ? "POST" : "GET, HEAD");
    } else if (controls) {
        control(r, to);
    } else if (path == "/metrics") {
        to.whole(200, metrics_type, with_.counted.page(gauges()));
    } else if (path == "/healthz") {
        to.whole(200, "text/plain; charset=utf-8", "ok\n");
    } else if (path == "/readyz") {
        const auto& all = with_.upstreams.sites();
        bool up = std::any_of(all.begin(), all.end(),
                              [](const auto* s) { return s->health.up() && s->health.probed(); });
        bool ready = up && !with_.draining;
        to.whole(ready ? 200 : 503, "text/plain; charset=utf-8",
                 ready            ? "ready\n"
                 : with_.draining ? "draining\n"
                                  : "no upstream is up\n");
    } else if (path == "/status/events" && method == "HEAD") {
        to.whole(200, "text/event-stream", {});
    } else if (path == "/status/events") {
        co_await feed_.tell(to);
    } else if (path == "/status/history") {
        to.json(200, history_columns());
    } else if (path == "/status") {
        to.json(200, status(r.head.query));
    } else {
        answer_dashboard(r, to, with_.public_addresses());
    }
}

void admin_pages::control(const page_request& r, responder& to)
{
    const auto& path = r.head.path;
    if (path == "/reload") {
        auto outcome = with_.reload();
        std::string notes;
        for (const auto& n : outcome.notes)
            notes.append(notes.empty() ? "" : ",").append(json_quote(n));
        auto taken = outcome.taken ? "true" : "false";
        to.json(outcome.taken ? 200 : 400,
                "{\"reloaded\":" + std::string(taken) + ",\"notes\":[" + notes + "]}");
    } else if (path == "/drain") {
        to.json(202, "{\"draining\":true}");
        with_.drain();
    } else if (path.starts_with("/models/")) {
        // Names may hold slashes: everything between the first and the last word is the name.
        auto model = canonical_model(path.substr(8, path.size() - 15));
        if (with_.upstreams.retire(model))
            to.json(202, "{\"model\":" + json_quote(model) + ",\"unloading\":true}");
        else
            to.fail({fault_code::not_found, "no upstream has this model loaded", whose::client,
                     retry::no, 0});
    } else {
        auto id = to_lower(path.substr(7, path.size() - 14));
        if (with_.calls.cancel(id))
            to.json(200, "{\"id\":" + json_quote(id) + ",\"cancelled\":true}");
        else
            to.fail({fault_code::not_found, "no call of this id is waiting or running",
                     whose::client, retry::no, 0});
    }
}

}  // namespace gateway
