// GET /status (SPEC §A): pulled from the live objects when somebody asks, never from notes.
#include "admin/admin_pages.hpp"
#include "admin/model_counts.hpp"
#include "base/text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace gateway {

using json = nlohmann::ordered_json;

namespace {

std::string_view parameter(std::string_view query, std::string_view name)
{
    for (auto part : split(query, '&'))
        if (part.size() > name.size() && part.starts_with(name) && part[name.size()] == '=')
            return part.substr(name.size() + 1);
    return {};
}

json attempts_of(const std::vector<attempt>& a)
{
    return json::parse(to_json(a), nullptr, false);
}

}  // namespace

std::string admin_pages::status(std::string_view query) const
{
    auto now = steady::now();
    auto& at = with_.upstream;
    json j;
    j["version"] = GATEWAY_VERSION;
    j["uptime_s"] = std::chrono::duration_cast<std::chrono::seconds>(now - with_.started).count();
    j["draining"] = with_.draining;
    j["warnings"] = with_.warnings();

    auto age = at.loaded.listing_age(now);
    const auto& order = at.generations.view();
    json up;
    up["name"] = at.name;
    up["url"] = std::string(at.pool.url().tls ? "https://" : "http://") + at.pool.url().authority +
                at.pool.url().prefix;
    up["up"] = at.health.up();
    up["permits"] = order.capacity();
    up["in_use"] = order.in_use();
    up["vram_budget"] = nullptr;
    up["last_listing_age_s"] = age ? json(seconds(*age)) : json(nullptr);
    if (!at.health.why().empty())
        up["why"] = at.health.why();
    j["upstreams"] = json::array({up});

    j["models"] = json::array();
    for (const auto& m : model_counts(at, now))
        j["models"].push_back(
            {{"name", m.name},
             {"upstream", at.name},
             {"state", m.state},
             {"loaded", m.loaded},
             {"running", m.running},
             {"waiting", m.waiting},
             {"size_vram", m.size_vram},
             {"expires_at", m.expires_at.empty() ? json(nullptr) : json(m.expires_at)},
             {"silence_s", m.silence_s}});

    // What runs first, then what waits in its order.
    auto calls = with_.calls.book().live(now);
    std::stable_sort(calls.begin(), calls.end(), [](const call_view& a, const call_view& b) {
        return a.position.value_or(0) < b.position.value_or(0);
    });
    j["calls_total"] = calls.size();
    if (auto most = parse_uint(parameter(query, "calls_limit")); most && *most < calls.size())
        calls.resize(*most);
    j["calls"] = json::array();
    for (const auto& c : calls)
        j["calls"].push_back({{"id", c.id},
                              {"client", c.client},
                              {"endpoint", name(c.where)},
                              {"model", c.model},
                              {"upstream", c.upstream.empty() ? json(nullptr) : json(c.upstream)},
                              {"phase", word(c.now)},
                              {"age_s", c.age_s},
                              {"waited_ms", c.waited_ms},
                              {"position", c.position ? json(*c.position) : json(nullptr)},
                              {"chunks", c.chunks}});

    constexpr std::size_t most_recent = 100;
    auto limit = parse_uint(parameter(query, "recent_limit"), most_recent).value_or(20);
    auto cursor = parse_uint(parameter(query, "recent_cursor")).value_or(0);
    auto recent = with_.calls.book().recent(limit, cursor);
    j["recent"] = json::array();
    for (const auto* r : recent.calls)
        j["recent"].push_back(
            {{"id", r->id},
             {"client", r->client},
             {"endpoint", name(r->where)},
             {"model", r->model},
             {"outcome", word(r->how)},
             {"queue_ms", r->queue_us / 1000},
             {"load_ms", r->load_us / 1000},
             {"first_byte_ms",
              r->first_byte_us < 0 ? json(nullptr) : json(r->first_byte_us / 1000)},
             {"total_ms", r->total_us / 1000},
             {"finished_at", r->finished_at},
             {"attempts", attempts_of(r->attempts)}});
    j["recent_cursor"] = recent.cursor != 0 ? json(std::to_string(recent.cursor)) : json(nullptr);

    j["unloads"] = json::array();
    for (auto u = at.loaded.unloads().rbegin(); u != at.loaded.unloads().rend(); ++u)
        j["unloads"].push_back({{"model", u->model},
                                {"upstream", at.name},
                                {"reason", u->reason},
                                {"result", u->result},
                                {"ms", u->ms},
                                {"at", u->at}});
    return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace gateway
