// The gauges of /metrics: pulled from the live objects when somebody asks.
#include "admin/admin_pages.hpp"
#include "admin/model_counts.hpp"
#include "base/log.hpp"

namespace gateway {

std::vector<gauge_family> admin_pages::gauges() const
{
    auto now = steady::now();
    auto& at = with_.upstream;
    const auto& g = at.generations.view();
    const auto& e = at.embeddings.view();
    auto one = [](std::string name, std::string help, double value, bool counter = false) {
        return gauge_family{std::move(name), std::move(help), {{{}, value}}, counter};
    };
    // A model is named only when the upstream lists it; the others are told together.
    auto label = [&](const std::string& model) {
        return at.loaded.lists(model) ? model : std::string("other");
    };

    gauge_family in_flight{"in_flight", "Calls that hold a permit.", {}, false};
    gauge_family state{"model_state", "1 for the state a model is in.", {}, false};
    gauge_family vram{"model_vram_bytes", "VRAM a model takes, as /api/ps says.", {}, false};
    gauge_family silence{
        "silence_seconds", "How long a model with calls out has been silent.", {}, false};
    bool others = false;
    for (const auto& m : model_counts(at, now)) {
        auto name = label(m.name);
        if (name == "other" && std::exchange(others, true))
            continue;
        in_flight.samples.push_back({{{"upstream", at.name}, {"model", name}}, double(m.running)});
        for (auto s : {"absent", "ready", "unloading", "stuck"})
            state.samples.push_back(
                {{{"upstream", at.name}, {"model", name}, {"state", s}}, m.state == s ? 1.0 : 0.0});
        vram.samples.push_back({{{"upstream", at.name}, {"model", name}}, double(m.size_vram)});
        silence.samples.push_back({{{"upstream", at.name}, {"model", name}}, m.silence_s});
    }

    double oldest = 0;
    for (const auto* order : {&g, &e})
        if (auto since = order->oldest())
            oldest = std::max(oldest, seconds(now - *since));
    gauge_family jobs{"jobs", "Jobs in the store, by state.", {}, false};
    auto counted = with_.counted_jobs();
    for (auto s : {job_state::queued, job_state::running, job_state::succeeded, job_state::failed,
                   job_state::cancelled})
        jobs.samples.push_back({{{"state", std::string(word(s))}}, double(counted[s])});

    std::vector<gauge_family> all{
        one("queue_waiting", "Calls that wait for a permit.", double(g.waiting() + e.waiting())),
        one("queue_oldest_seconds", "How long the call that waits longest has waited.", oldest),
        std::move(in_flight),
        {"permits",
         "Permits of an upstream.",
         {{{{"upstream", at.name}}, double(g.capacity())}},
         false},
        std::move(state),
        std::move(vram),
        std::move(silence),
        std::move(jobs),
        {"upstream_up",
         "1 while the upstream answers.",
         {{{{"upstream", at.name}}, at.health.up() ? 1.0 : 0.0}},
         false},
        {"connections",
         "Open connections.",
         {{{{"side", "client"}}, double(with_.clients.open.size())},
          {{{"side", "admin"}}, double(with_.admins.open.size())},
          {{{"side", "upstream"}}, double(at.pool.open())}},
         false},
        one("memory_reserved_bytes", "Memory held for bodies and buffers (limits.memory).",
            double(with_.memory.used())),
        one("log_lines_dropped_total", "Log lines that standard error did not take.",
            double(log::dropped()), true),
        {"build_info",
         "1; the version is the label.",
         {{{{"version", GATEWAY_VERSION}}, 1.0}},
         false},
    };
    for (auto& p : process_gauges())
        all.push_back(std::move(p));
    return all;
}

}  // namespace gateway
