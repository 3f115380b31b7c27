// What a job is, as it is submitted, kept and shown. Values. Pure.
#pragma once

#include "jobs/states.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gateway {

// What is to be asked of Ollama.
struct job_request {
    std::string target;  // path and query
    std::string fields;  // the header lines that go with it, each with its CRLF
    std::string body;
};

struct new_job {
    std::string id;  // 32 hexadecimal digits
    job_request what;
    std::string model;                 // as Ollama compares names
    std::string client;                // the fairness key of whoever submitted it
    std::optional<std::string> owner;  // the key it belongs to
    std::optional<std::string> batch;
    std::optional<std::string> idempotency_key;
    bool interactive = false;
};

// Times are Unix milliseconds.
struct job {
    std::int64_t number = 0;  // newer ones have greater numbers
    std::string id;
    job_life life;
    std::string target;
    std::string model;
    std::string client;
    std::optional<std::string> owner;
    std::optional<std::string> batch;
    std::optional<std::string> idempotency_key;
    bool interactive = false;
    std::string attempts;  // JSON, as live calls tell them
    std::int64_t created_at = 0;
    std::optional<std::int64_t> started_at;  // its call was sent to an upstream
    std::optional<std::int64_t> finished_at;
    std::optional<std::int64_t> heartbeat_at;
    std::optional<std::string> error;
    std::string content_type;  // of the answer
};

// As it is told: what was taken up and not yet sent to an upstream still waits.
inline job_state told_state(const job& j)
{
    return j.life.state == job_state::running && !j.started_at ? job_state::queued : j.life.state;
}

// Whose jobs are meant.
struct job_scope {
    bool all = false;                  // the admin port, the command line
    std::optional<std::string> owner;  // a key's; none: those that belong to no key

    // What belongs to no key is whoever's that holds its id.
    bool sees(const job& j) const { return all || !j.owner || j.owner == owner; }
};

struct job_filter {
    job_scope whose;
    std::optional<job_state> state;  // as it is told
    std::optional<std::string> batch;
};

struct job_page {
    std::vector<job> jobs;    // newest first
    std::int64_t cursor = 0;  // of the next page; 0: there is none
};

// Jobs by state, as it is told.
struct job_counts {
    std::uint64_t of[5] = {};
    std::uint64_t operator[](job_state s) const { return of[static_cast<std::size_t>(s)]; }
    // So many that were counted as one are the other.
    void move(std::uint64_t n, job_state from, job_state to)
    {
        n = std::min(n, (*this)[from]);
        of[static_cast<std::size_t>(from)] -= n;
        of[static_cast<std::size_t>(to)] += n;
    }
};

}  // namespace gateway
