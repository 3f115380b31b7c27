// The gauges of /metrics: pulled from the live objects when somebody asks.
#include "admin/admin_pages.hpp"
#include "admin/model_counts.hpp"
#include "base/log.hpp"

#include <set>

namespace gateway {

std::vector<gauge_family> admin_pages::gauges() const
{
    auto now = steady::now();
    const auto& g = with_.generations.view();
    const auto& e = with_.embeddings.view();
    auto one = [](std::string name, std::string help, double value, bool counter = false) {
        return gauge_family{std::move(name), std::move(help), {{{}, value}}, counter};
    };
    // A model is named only when the upstream lists it; the others are told together.
    auto label = [&](const std::string& model) {
        return with_.upstreams.lists(model) ? model : std::string("other");
    };

    gauge_family in_flight{"in_flight", "Calls that hold a permit.", {}, false};
    gauge_family state{"model_state", "1 for the state a model is in.", {}, false};
    gauge_family vram{"model_vram_bytes", "VRAM a model takes, as /api/ps says.", {}, false};
    gauge_family silence{
        "silence_seconds", "How long a model with calls out has been silent.", {}, false};
    gauge_family learned{
        "learned_parallel",
        "How many calls of a model the upstream was found to run at once; absent while unknown.",
        {},
        false};
    std::set<std::string> others;  // upstreams whose unlisted models are told
    for (const auto& m : model_counts(rooms(), now)) {
        auto name = label(m.name);
        if (name == "other" && !others.insert(m.upstream).second)
            continue;
        std::vector<std::pair<std::string, std::string>> labels{{"upstream", m.upstream},
                                                                {"model", name}};
        in_flight.samples.push_back({labels, double(m.running)});
        for (auto s : {model_state::absent, model_state::loading, model_state::ready,
                       model_state::unloading, model_state::stuck}) {
            auto with_state = labels;
            with_state.emplace_back("state", std::string(word(s)));
            state.samples.push_back({std::move(with_state), m.state == s ? 1.0 : 0.0});
        }
        vram.samples.push_back({labels, double(m.size_vram)});
        silence.samples.push_back({labels, m.silence_s});
        if (m.learned != 0)
            learned.samples.push_back({labels, double(m.learned)});
    }
    gauge_family permits{"permits", "Permits of an upstream.", {}, false};
    gauge_family up{"upstream_up", "1 while the upstream answers.", {}, false};
    gauge_family budget{"vram_budget_bytes", "VRAM an upstream may use (`vram`).", {}, false};
    std::size_t upstream_connections = 0;
    auto settings = with_.settings();
    for (const auto* s : with_.upstreams.sites()) {
        permits.samples.push_back({{{"upstream", s->name}}, double(g.capacity(s->place))});
        up.samples.push_back({{{"upstream", s->name}}, s->health.up() ? 1.0 : 0.0});
        if (const auto& vram_of = settings->upstreams[s->place].vram)
            budget.samples.push_back({{{"upstream", s->name}}, double(*vram_of)});
        upstream_connections += s->pool.open();
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
        std::move(permits),
        std::move(budget),
        std::move(learned),
        std::move(state),
        std::move(vram),
        std::move(silence),
        std::move(up),
        std::move(jobs),
        {"connections",
         "Open connections.",
         {{{{"side", "client"}}, double(with_.clients.open.size())},
          {{{"side", "admin"}}, double(with_.admins.open.size())},
          {{{"side", "upstream"}}, double(upstream_connections)}},
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
