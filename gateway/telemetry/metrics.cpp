#include "telemetry/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <deque>

namespace gateway {
namespace {

using buckets = prometheus::Histogram::BucketBoundaries;

// vLLM's boundaries, which operators know (vllm/v1/metrics/loggers.py); finer ones added below.
const buckets first_byte{0.001, 0.0025, 0.005, 0.01, 0.02,  0.04,  0.06,  0.08,
                         0.1,   0.25,   0.5,   0.75, 1,     2.5,   5,     7.5,
                         10,    20,     40,    80.0, 160.0, 640.0, 2560.0};
const buckets per_chunk{0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4,
                        0.5,    0.75,  1,    2.5,   5,    7.5,   10,  20,   40,  80};
const buckets whole{0.005, 0.05, 0.3, 0.5, 0.8, 1,   1.5, 2,   2.5, 5,    10,  15,
                    20,    30,   40,  50,  60,  120, 240, 480, 960, 1920, 7680};
const buckets short_times{0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5};

constexpr const char* prefix = "ollama_gateway_";

// What a histogram has yet to be told. It locks whenever it is told something, so it is told once
// for all, when somebody asks for the page.
class observations {
public:
    observations(prometheus::Histogram& to, const buckets& edges) : to_(to), edges_(edges) {}

    void add(double value)
    {
        auto bucket = std::lower_bound(edges_.begin(), edges_.end(), value) - edges_.begin();
        ++in_[std::size_t(bucket)];
        sum_ += value;
    }
    void hand_over()
    {
        to_.ObserveMultiple(in_, sum_);
        std::fill(in_.begin(), in_.end(), 0);
        sum_ = 0;
    }

private:
    prometheus::Histogram& to_;
    const buckets& edges_;
    std::vector<double> in_ = std::vector<double>(edges_.size() + 1);
    double sum_ = 0;
};

}  // namespace

struct metrics::state {
    prometheus::Registry registry;
    std::deque<observations> observed;
    prometheus::Family<prometheus::Counter>& requests = counter(
        "requests_total", "Calls by their end; `model` is a name the upstream lists, or other.");
    prometheus::Family<prometheus::Counter>& rejected =
        counter("queue_rejected_total", "Calls refused by the queue.");
    prometheus::Family<prometheus::Counter>& refused =
        counter("refused_total", "Requests refused before they became calls, by the error's code.");
    prometheus::Family<prometheus::Counter>& tokens =
        counter("tokens_total", "Tokens as the upstream counted them.");
    prometheus::Family<prometheus::Counter>& disconnects =
        counter("client_disconnects_total",
                "Clients that left before their answer was complete, by phase.");
    std::array<prometheus::Counter*, 6> disconnects_in{};  // by phase
    prometheus::Family<prometheus::Counter>& timeouts =
        counter("timeouts_total", "Calls ended by a time-out, by phase.");
    prometheus::Family<prometheus::Counter>& unloads =
        counter("unloads_total", "Unloads the gateway asked for, by reason and result.");
    prometheus::Family<prometheus::Counter>& upstream_errors =
        counter("upstream_errors_total", "Attempts that failed at an upstream, by kind.");

    prometheus::Family<prometheus::Counter>& reloads =
        counter("config_reloads_total", "Times the configuration was read again.");

    prometheus::Family<prometheus::Counter>& loads =
        counter("loads_total", "Loads the gateway asked for, by result.");
    prometheus::Family<prometheus::Counter>& drift =
        counter("reconcile_drift_total",
                "Models whose state a listing corrected: loaded, unloaded or reloaded by others.");
    prometheus::Family<prometheus::Counter>& fallbacks =
        counter("fallbacks_total", "Calls that went on with another model.");

    observations& queue_wait =
        histogram("queue_wait_seconds", "Time between a call's arrival and its permit.", whole);
    observations& ttfb =
        histogram("time_to_first_byte_seconds",
                  "Time between a call's arrival and the model's first byte.", first_byte);
    observations& gaps =
        histogram("inter_chunk_seconds", "Time between two pieces of one stream from the upstream.",
                  per_chunk);
    observations& duration_of =
        histogram("request_duration_seconds", "Time between a call's arrival and its end.", whole);
    observations& aborts =
        histogram("abort_seconds",
                  "Time between a client's leaving and its upstream socket's close.", short_times);
    observations& unload_times =
        histogram("unload_seconds", "Time an unload took until the model was gone.", whole);
    observations& load_times = histogram(
        "load_seconds", "Time a load of the gateway's own took, when it ended well.", whole);
    observations& lag = histogram("event_loop_lag_seconds",
                                  "How late the event loop was for a timer.", short_times);

    struct known_counter {
        endpoint where;
        outcome how;
        std::string model;
        prometheus::Counter* counter;
    };
    // Looked up once: a family's own look-up costs as much as the rest of a short call's telemetry.
    struct known_tokens {
        std::string model;
        prometheus::Counter* prompt;
        prometheus::Counter* completion;
    };
    std::vector<known_tokens> known_models;

    std::vector<known_counter> known;
    history past;

    state()
    {
        for (auto result : {"ok", "failed"})
            reloads.Add({{"result", result}});
        for (auto reason : {"queue_full", "queue_timeout", "no_upstream", "draining"})
            rejected.Add({{"reason", reason}});
        for (auto reason : {"unauthorized", "forbidden", "bad_request"})
            refused.Add({{"reason", reason}});
        for (auto p : {phase::waiting, phase::loading_model, phase::starting, phase::processing,
                       phase::streaming, phase::answering})
            disconnects.Add({{"phase", word(p)}});
        for (auto result : {"ok", "failed"})
            loads.Add({{"result", result}});
        for (auto kind : {"appeared", "vanished", "reloaded"})
            drift.Add({{"kind", kind}});
        for (auto p : {"first_byte", "idle", "whole", "total", "load"})
            timeouts.Add({{"phase", p}});
        for (auto reason : {"timeout", "room", "operator"})
            for (auto result : {"gone", "stuck", "healed"})
                unloads.Add({{"reason", reason}, {"result", result}});
    }

    known_tokens& tokens_of(const std::string& model)
    {
        for (auto& k : known_models)
            if (k.model == model)
                return k;
        known_models.push_back({model, &tokens.Add({{"model", model}, {"type", "prompt"}}),
                                &tokens.Add({{"model", model}, {"type", "completion"}})});
        return known_models.back();
    }

    prometheus::Counter& requests_of(const call_record& r)
    {
        for (auto& k : known)
            if (k.where == r.where && k.how == r.how && k.model == r.model_label)
                return *k.counter;
        auto& c = requests.Add({{"endpoint", std::string(name(r.where))},
                                {"model", r.model_label},
                                {"outcome", std::string(word(r.how))}});
        known.push_back({r.where, r.how, r.model_label, &c});
        return c;
    }

    prometheus::Family<prometheus::Counter>& counter(const char* name, const char* help)
    {
        return prometheus::BuildCounter()
            .Name(std::string(prefix) + name)
            .Help(help)
            .Register(registry);
    }
    observations& histogram(const char* name, const char* help, const buckets& b)
    {
        auto& family = prometheus::BuildHistogram()
                           .Name(std::string(prefix) + name)
                           .Help(help)
                           .Register(registry);
        return observed.emplace_back(family.Add({}, b), b);
    }
};

metrics::metrics() : state_(std::make_unique<state>()) {}
metrics::~metrics() = default;

void metrics::ended(const call_record& r)
{
    auto& s = *state_;
    s.requests_of(r).Increment();
    bool counted = r.what == kind::generation || r.what == kind::embedding;
    if (!counted)
        return;
    s.past.ended(r, steady::now());
    s.queue_wait.add(double(r.queue_us) / 1e6);
    s.duration_of.add(double(r.total_us) / 1e6);
    if (r.first_byte_us >= 0)
        s.ttfb.add(double(r.first_byte_us) / 1e6);
    if (r.prompt_tokens == 0 && r.completion_tokens == 0)
        return;
    auto& counted_for = s.tokens_of(r.model_label);
    counted_for.prompt->Increment(double(r.prompt_tokens));
    counted_for.completion->Increment(double(r.completion_tokens));
}

void metrics::chunk_gap(duration d)
{
    state_->gaps.add(seconds(d));
}

void metrics::refused(std::string_view reason)
{
    state_->refused.Add({{"reason", std::string(reason)}}).Increment();
}

void metrics::rejected(std::string_view reason)
{
    state_->rejected.Add({{"reason", std::string(reason)}}).Increment();
}

void metrics::client_gone(phase in, duration until_closed, bool had_upstream)
{
    auto& counted = state_->disconnects_in[std::size_t(in)];
    if (counted == nullptr)
        counted = &state_->disconnects.Add({{"phase", word(in)}});
    counted->Increment();
    if (had_upstream)
        state_->aborts.add(seconds(until_closed));
}

void metrics::timed_out(std::string_view in)
{
    state_->timeouts.Add({{"phase", std::string(in)}}).Increment();
}

void metrics::unloaded(std::string_view reason, std::string_view result, duration took)
{
    state_->unloads.Add({{"reason", std::string(reason)}, {"result", std::string(result)}})
        .Increment();
    state_->unload_times.add(seconds(took));
}

void metrics::upstream_error(std::string_view upstream, std::string_view kind)
{
    state_->upstream_errors.Add({{"upstream", std::string(upstream)}, {"kind", std::string(kind)}})
        .Increment();
}

void metrics::load_ended(bool ok, duration took)
{
    state_->loads.Add({{"result", ok ? "ok" : "failed"}}).Increment();
    if (ok)
        state_->load_times.add(seconds(took));
}

void metrics::drifted(std::string_view kind, unsigned models)
{
    state_->drift.Add({{"kind", std::string(kind)}}).Increment(models);
}

void metrics::fell_back(std::string_view from, std::string_view to, std::string_view reason)
{
    state_->fallbacks
        .Add(
            {{"from", std::string(from)}, {"to", std::string(to)}, {"reason", std::string(reason)}})
        .Increment();
}

void metrics::loop_lag(duration d)
{
    state_->lag.add(seconds(d));
}

void metrics::reloaded(bool taken)
{
    state_->reloads.Add({{"result", taken ? "ok" : "failed"}}).Increment();
}

void metrics::stood(std::size_t waiting, std::size_t running, instant now)
{
    state_->past.stood(waiting, running, now);
}

const history& metrics::past() const
{
    return state_->past;
}

std::string metrics::page(const std::vector<gauge_family>& gauges) const
{
    for (auto& o : state_->observed)
        o.hand_over();
    auto all = state_->registry.Collect();
    for (const auto& g : gauges) {
        prometheus::MetricFamily family;
        bool process = g.name.starts_with("process_");
        family.name = process ? g.name : prefix + g.name;
        family.help = g.help;
        family.type = g.counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
        for (const auto& s : g.samples) {
            prometheus::ClientMetric m;
            for (const auto& [name, value] : s.labels)
                m.label.push_back({name, value});
            (g.counter ? m.counter.value : m.gauge.value) = s.value;
            family.metric.push_back(std::move(m));
        }
        if (!family.metric.empty())
            all.push_back(std::move(family));
    }
    return prometheus::TextSerializer().Serialize(all);
}

}  // namespace gateway
