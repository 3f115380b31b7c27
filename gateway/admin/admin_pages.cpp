#include "admin/admin_pages.hpp"

#include "base/log.hpp"
#include "base/text.hpp"

namespace gateway {

namespace {

constexpr const char* metrics_type = "text/plain; version=0.0.4; charset=utf-8";

// POSTs change something: only from this machine itself, not through a proxy on it.
bool may_control(const identity& who)
{
    return who.loopback && !who.tunnelled;
}

}  // namespace

awaitable<void> admin_pages::answer(const page_request& r, responder& to)
{
    const auto& path = r.head.path;
    const auto& method = r.head.method;
    auto fail = [&](fault_code code, const char* why) {
        to.fail({code, why, whose::client, retry::no, 0});
    };
    if (path.starts_with("/gateway/")) {
        co_await with_.queue.answer(r, to);
        co_return;
    }
    bool cancels = path.starts_with("/calls/") && path.ends_with("/cancel");
    bool reads = path == "/metrics" || path == "/healthz" || path == "/readyz" || path == "/status";
    if (!cancels && !reads) {
        fail(fault_code::not_found, "no such page");
    } else if (cancels ? method != "POST" : method != "GET" && method != "HEAD") {
        fail(fault_code::bad_method, cancels ? "use POST" : "use GET");
    } else if (cancels && !may_control(r.who)) {
        fail(fault_code::forbidden, "this is for the gateway's own machine (a loopback peer)");
    } else if (cancels) {
        auto id = to_lower(path.substr(7, path.size() - 14));
        if (with_.calls.cancel(id))
            to.json(200, "{\"id\":" + json_quote(id) + ",\"cancelled\":true}");
        else
            fail(fault_code::not_found, "no call of this id is waiting or running");
    } else if (path == "/metrics") {
        to.whole(200, metrics_type, with_.counted.page(gauges()));
    } else if (path == "/healthz") {
        to.whole(200, "text/plain; charset=utf-8", "ok\n");
    } else if (path == "/readyz") {
        bool up = with_.upstream.health.up() && with_.upstream.health.probed();
        bool ready = up && !with_.draining;
        to.whole(ready ? 200 : 503, "text/plain; charset=utf-8",
                 ready            ? "ready\n"
                 : with_.draining ? "draining\n"
                                  : "no upstream is up\n");
    } else {
        to.json(200, status(r.head.query));
    }
}

}  // namespace gateway
