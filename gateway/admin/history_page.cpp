// GET /status/history: the last hour in columns, as the charts of the dashboard want it.
#include "admin/admin_pages.hpp"

#include <nlohmann/json.hpp>

namespace gateway {

using json = nlohmann::ordered_json;

std::string admin_pages::history_columns() const
{
    json j;
    j["step_s"] = std::chrono::duration_cast<std::chrono::seconds>(history::step).count();
    using namespace std::chrono;
    j["now_ms"] = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
    auto slots = with_.counted.past().slots(steady::now());
    auto column = [&](const char* name, auto value) {
        auto& c = j[name] = json::array();
        for (const auto& s : slots)
            c.push_back(value(s));
    };
    auto or_null = [](std::optional<std::int64_t> v) { return v ? json(*v) : json(nullptr); };
    using slot = history::slot;
    column("ok", [](const slot& s) { return s.ok; });
    column("left", [](const slot& s) { return s.left; });
    column("failed", [](const slot& s) { return s.failed; });
    column("tokens", [](const slot& s) { return s.tokens; });
    column("waiting", [](const slot& s) { return s.waiting; });
    column("running", [](const slot& s) { return s.running; });
    column("queue_p50_ms", [&](const slot& s) { return or_null(s.queue.quantile(0.5)); });
    column("queue_p95_ms", [&](const slot& s) { return or_null(s.queue.quantile(0.95)); });
    column("first_byte_p50_ms", [&](const slot& s) { return or_null(s.first_byte.quantile(0.5)); });
    column("first_byte_p95_ms",
           [&](const slot& s) { return or_null(s.first_byte.quantile(0.95)); });
    return j.dump();
}

void admin_pages::remember(instant now)
{
    const auto& g = with_.generations.view();
    const auto& e = with_.embeddings.view();
    with_.counted.stood(g.waiting() + e.waiting(), g.in_use() + e.in_use(), now);
}

}  // namespace gateway
