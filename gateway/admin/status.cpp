// GET /status (SPEC §A): pulled from the live objects when somebody asks, never from notes.
#include "admin/admin_pages.hpp"
#include "admin/model_counts.hpp"
#include "base/text.hpp"
#include "base/wall_time.hpp"

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
    json j;
    j["version"] = GATEWAY_VERSION;
    j["uptime_s"] = std::chrono::duration_cast<std::chrono::seconds>(now - with_.started).count();
    j["draining"] = with_.draining;
    j["warnings"] = with_.warnings();

    j["upstreams"] = json::array();
    json drift{{"appeared", 0}, {"vanished", 0}, {"reloaded", 0}};
    for (const auto* at : with_.upstreams.sites()) {
        auto age = at->loaded.listing_age(now);
        const auto& url = at->pool.url();
        const auto& budget = with_.settings()->upstreams[at->place].vram;
        json up;
        up["name"] = at->name;
        up["url"] = std::string(url.tls ? "https://" : "http://") + url.authority + url.prefix;
        up["up"] = at->health.up();
        up["permits"] = with_.upstreams.permits(at->place);
        up["in_use"] = with_.generations.view().in_use(at->place);
        up["vram_budget"] = budget ? json(*budget) : json(nullptr);
        up["last_listing_age_s"] = age ? json(seconds(*age)) : json(nullptr);
        if (!at->health.why().empty())
            up["why"] = at->health.why();
        j["upstreams"].push_back(std::move(up));
        const auto& d = at->loaded.drifted();
        drift["appeared"] = drift["appeared"].get<unsigned>() + d.appeared;
        drift["vanished"] = drift["vanished"].get<unsigned>() + d.vanished;
        drift["reloaded"] = drift["reloaded"].get<unsigned>() + d.reloaded;
    }

    j["models"] = json::array();
    for (const auto& m : model_counts(rooms(), now))
        j["models"].push_back(
            {{"name", m.name},
             {"upstream", m.upstream},
             {"state", word(m.state)},
             {"loaded", m.loaded},
             {"running", m.running},
             {"waiting", m.waiting},
             {"size_vram", m.size_vram},
             {"expires_at", m.expires_at.empty() ? json(nullptr) : json(m.expires_at)},
             {"learned_parallel", m.learned == 0 ? json(nullptr) : json(m.learned)},
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
             {"finished_at", rfc3339(r->finished_at)},
             {"attempts", attempts_of(r->attempts)}});
    j["recent_cursor"] = recent.cursor != 0 ? json(std::to_string(recent.cursor)) : json(nullptr);

    std::vector<std::pair<std::string, models::unload_note>> unloads;
    for (const auto* at : with_.upstreams.sites())
        for (auto u = at->loaded.unloads().rbegin(); u != at->loaded.unloads().rend(); ++u)
            unloads.emplace_back(at->name, *u);
    std::stable_sort(unloads.begin(), unloads.end(),
                     [](const auto& a, const auto& b) { return a.second.at > b.second.at; });
    j["unloads"] = json::array();
    for (const auto& [upstream, u] : unloads)
        j["unloads"].push_back({{"model", u.model},
                                {"upstream", upstream},
                                {"reason", u.reason},
                                {"result", u.result},
                                {"ms", u.ms},
                                {"at", u.at}});
    j["drift"] = std::move(drift);
    auto jobs = with_.counted_jobs();
    j["jobs"] = {{"queued", jobs[job_state::queued]}, {"running", jobs[job_state::running]}};
    return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace gateway
