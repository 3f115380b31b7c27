// What we count, in prometheus-cpp families, and the page that tells it. Counters and histograms
// are kept here; gauges are pulled from the live objects when somebody asks, never stored.
#pragma once

#include "base/clock.hpp"
#include "telemetry/history.hpp"
#include "telemetry/record.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gateway {

// A gauge family as it stands at this moment.
struct gauge_family {
    struct sample {
        std::vector<std::pair<std::string, std::string>> labels;
        double value;
    };
    std::string name;  // without the prefix; one beginning with "process_" is told as it is
    std::string help;
    std::vector<sample> samples;
    bool counter = false;
};

class metrics {
public:
    metrics();
    ~metrics();

    void ended(const call_record& r);
    void chunk_gap(duration d);
    void rejected(std::string_view reason);
    void refused(std::string_view reason);  // before it became a call
    void client_gone(phase in, duration until_upstream_closed, bool had_upstream);
    void timed_out(std::string_view phase);
    void unloaded(std::string_view reason, std::string_view result, duration took);
    void upstream_error(std::string_view upstream, std::string_view kind);
    // A load of the gateway's own has ended.
    void load_ended(bool ok, duration took);
    // What a listing corrected: "appeared", "vanished", "reloaded".
    void drifted(std::string_view kind, unsigned models);
    // A call goes on with another model. Both names as the upstreams list them, else "other".
    void fell_back(std::string_view from, std::string_view to, std::string_view reason);
    void loop_lag(duration d);
    void reloaded(bool taken);
    // So many wait and run, for the history; to be told now and then.
    void stood(std::size_t waiting, std::size_t running, instant now);

    // The whole page, text format 0.0.4.
    std::string page(const std::vector<gauge_family>& gauges) const;
    const history& past() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

// process_* as Prometheus clients tell them, from /proc.
std::vector<gauge_family> process_gauges();

// One line at a call's end.
void log_ended(const call_record& r);

}  // namespace gateway
