// What the simulation remembers for those who test against it: how many ran at once, who left when,
// what was loaded and why it went, and the last requests word by word. Pure; all times are
// CLOCK_MONOTONIC.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/sim/go_json.hpp"
#include "bench/sim/scheduler.hpp"

namespace sim {

// One request as it came. Bodies are kept up to 64 KiB, longer ones as their SHA-256.
struct request_record {
    std::uint64_t id = 0;
    std::uint64_t connection = 0;
    std::string method;
    std::string target;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;
    std::uint64_t body_size = 0;
    std::string model;
    int status = 0;
    bool complete = false;  // the whole answer was handed to the kernel
    instant at{};
    std::shared_ptr<EVP_MD_CTX> hash;  // from the moment the body outgrows what is kept

    void add_body(std::string_view bytes);
    json shown() const;
};

// How many there are and how many there have been at once.
struct gauge {
    int now = 0;
    int peak = 0;

    void up()
    {
        if (++now > peak)
            peak = now;
    }
    void down() { --now; }
};

class stats {
public:
    explicit stats(std::size_t keep_requests) : keep_requests_(keep_requests) {}

    std::shared_ptr<request_record> request(std::uint64_t connection);
    void aborted(const std::string& model, std::string_view phase, std::uint64_t request,
                 instant at);
    void loaded(const load_report& report, std::uint64_t vram_used);
    void unloaded(const runner& gone, std::string_view reason, instant at);

    gauge& running(const std::string& model) { return models_[model].running; }
    gauge& in_flight(const std::string& model) { return models_[model].in_flight; }

    // Counters go to zero, peaks to what is now.
    void reset();
    json shown() const;
    json requests() const;

    gauge all_running;
    gauge all_in_flight;
    gauge connections;
    std::uint64_t accepted = 0;
    std::uint64_t leaked_handlers = 0;
    std::uint64_t leaked_slots = 0;
    std::uint64_t runs = 0;
    std::uint64_t tokens = 0;
    std::uint64_t restarts = 0;

private:
    struct per_model {
        gauge running;
        gauge in_flight;
        std::uint64_t aborts = 0;
    };

    std::size_t keep_requests_;
    std::map<std::string, per_model> models_;
    std::deque<std::shared_ptr<request_record>> requests_;
    std::uint64_t next_request_ = 0;
    std::uint64_t request_count_ = 0;
    std::deque<json> aborts_;
    std::uint64_t abort_count_ = 0;
    std::deque<json> loads_;
    std::uint64_t load_count_ = 0;
    // Loads for which something else had gone: what a queue can save.
    std::uint64_t swaps_ = 0;
    bool gone_since_load_ = false;
    std::uint64_t peak_vram_ = 0;
    std::deque<json> unloads_;
    std::uint64_t unload_count_ = 0;
};

// Milliseconds of CLOCK_MONOTONIC with three decimals.
double monotonic_ms(instant at);

}  // namespace sim
