// One try at an upstream, as it is told in logs, headers and errors. A value. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

enum class outcome : std::uint8_t {
    ok,
    client_gone,
    timed_out,
    connect_failed,
    upstream_failed,
    upstream_status,  // Ollama itself said no: `status` says how
    truncated,
    does_not_fit,
    stuck,
    not_tried,
    refused,          // by the queue; never an attempt's own, only a call's
    cancelled,        // by an operator; never an attempt's own, only a call's
    gateway_stopped,  // with a job's run in it: what came of it nobody knows
};

std::string_view word(outcome o);

struct attempt {
    std::string model;
    std::string upstream;
    outcome what = outcome::not_tried;
    int status = 0;     // with upstream_status
    std::string error;  // for people; empty when ok
    std::int64_t ms = 0;
};

// [{"model":…,"upstream":…,"outcome":…,…}] (SPEC §A)
std::string to_json(const std::vector<attempt>& attempts);

// The value of X-Gateway-Attempts: llama3:latest@local;outcome=timed_out;ms=300004, …
std::string to_header(const std::vector<attempt>& attempts);
void append_header(std::string& to, const std::vector<attempt>& attempts);

}  // namespace gateway
