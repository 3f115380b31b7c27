#include "bench/sim/stats.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace sim {

namespace {

constexpr std::size_t keep_body = 64 * 1024;
constexpr std::size_t keep_events = 20000;

void remember(std::deque<json>& events, json event)
{
    if (events.size() >= keep_events)
        events.pop_front();
    events.push_back(std::move(event));
}

json listed(std::uint64_t count, const std::deque<json>& events)
{
    return {{"count", count}, {"list", json(std::vector<json>(events.begin(), events.end()))}};
}

}  // namespace

double monotonic_ms(instant at)
{
    auto micros =
        std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
    return static_cast<double>(micros) / 1000.0;
}

void request_record::add_body(std::string_view bytes)
{
    body_size += bytes.size();
    if (!hash && body_size <= keep_body) {
        body += bytes;
        return;
    }
    if (!hash) {
        hash.reset(EVP_MD_CTX_new(), EVP_MD_CTX_free);
        EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
        EVP_DigestUpdate(hash.get(), body.data(), body.size());
        body.clear();
        body.shrink_to_fit();
    }
    EVP_DigestUpdate(hash.get(), bytes.data(), bytes.size());
}

json request_record::shown() const
{
    json out{{"id", id},
             {"connection", connection},
             {"method", method},
             {"target", target},
             {"model", model},
             {"status", status},
             {"complete", complete},
             {"at_ms", monotonic_ms(at)},
             {"body_size", body_size}};
    auto headers = json::array();
    for (auto& [name, value] : fields)
        headers.push_back({name, value});
    out["headers"] = std::move(headers);
    if (!hash) {
        out["body"] = body;
        out["sha256"] = sha256_hex(body);
        return out;
    }
    auto copy = std::shared_ptr<EVP_MD_CTX>(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_MD_CTX_copy_ex(copy.get(), hash.get());
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned length = 0;
    EVP_DigestFinal_ex(copy.get(), digest.data(), &length);
    std::string hex;
    for (unsigned i = 0; i < length; ++i) {
        hex += "0123456789abcdef"[digest[i] >> 4];
        hex += "0123456789abcdef"[digest[i] & 15];
    }
    out["sha256"] = hex;
    return out;
}

std::shared_ptr<request_record> stats::request(std::uint64_t connection)
{
    auto one = std::make_shared<request_record>();
    one->id = ++next_request_;
    one->connection = connection;
    ++request_count_;
    if (keep_requests_ == 0)
        return one;
    if (requests_.size() >= keep_requests_)
        requests_.pop_front();
    requests_.push_back(one);
    return one;
}

void stats::aborted(const std::string& model, std::string_view phase, std::uint64_t request,
                    instant at)
{
    ++abort_count_;
    ++models_[model].aborts;
    remember(
        aborts_,
        {{"model", model}, {"phase", phase}, {"request", request}, {"at_ms", monotonic_ms(at)}});
}

void stats::loaded(const load_report& report, std::uint64_t vram_used)
{
    ++load_count_;
    if (report.result == "ok") {
        swaps_ += gone_since_load_ ? 1 : 0;
        gone_since_load_ = false;
        peak_vram_ = std::max(peak_vram_, vram_used);
    }
    remember(loads_, {{"model", report.wanted.model->name},
                      {"options", report.wanted.options},
                      {"context", report.wanted.context},
                      {"result", report.result},
                      {"size_vram", report.size_vram},
                      {"beside", report.beside},
                      {"ms", gateway::ms(report.ended - report.began)},
                      {"began_ms", monotonic_ms(report.began)},
                      {"at_ms", monotonic_ms(report.ended)}});
}

void stats::unloaded(const runner& gone, std::string_view reason, instant at)
{
    ++unload_count_;
    gone_since_load_ = gone_since_load_ || reason == "request" || reason == "evicted";
    remember(unloads_, {{"model", gone.model->name},
                        {"options", gone.options},
                        {"reason", reason},
                        {"asked_while_busy", gone.asked_while_busy},
                        {"at_ms", monotonic_ms(at)}});
}

void stats::reset()
{
    auto settle = [](gauge& g) { g.peak = g.now; };
    settle(all_running);
    settle(all_in_flight);
    settle(connections);
    for (auto& [name, m] : models_) {
        settle(m.running);
        settle(m.in_flight);
        m.aborts = 0;
    }
    requests_.clear();
    aborts_.clear();
    loads_.clear();
    unloads_.clear();
    request_count_ = abort_count_ = load_count_ = unload_count_ = 0;
    accepted = leaked_slots = runs = tokens = swaps_ = peak_vram_ = restarts = 0;
}

json stats::shown() const
{
    json out{{"running", all_running.now},
             {"peak", all_running.peak},
             {"in_flight", all_in_flight.now},
             {"peak_in_flight", all_in_flight.peak},
             {"runs", runs},
             {"tokens", tokens},
             {"requests", request_count_},
             {"swaps", swaps_},
             {"restarts", restarts},
             {"peak_vram", peak_vram_},
             {"leaked_handlers", leaked_handlers},
             {"leaked_slots", leaked_slots},
             {"now_ms", monotonic_ms(steady::now())}};
    out["connections"] = {
        {"open", connections.now}, {"peak", connections.peak}, {"accepted", accepted}};
    auto models = json::object();
    for (auto& [name, m] : models_)
        models[name] = {{"running", m.running.now},
                        {"peak", m.running.peak},
                        {"in_flight", m.in_flight.now},
                        {"peak_in_flight", m.in_flight.peak},
                        {"aborts", m.aborts}};
    out["models"] = std::move(models);
    out["aborts"] = listed(abort_count_, aborts_);
    out["loads"] = listed(load_count_, loads_);
    out["unloads"] = listed(unload_count_, unloads_);
    return out;
}

json stats::requests() const
{
    auto out = json::array();
    for (auto& one : requests_)
        out.push_back(one->shown());
    return out;
}

}  // namespace sim
