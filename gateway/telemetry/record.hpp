// What is remembered of a call once it is over: for the log line, the metrics and /status. Never a
// prompt, never a key. A value.
#pragma once

#include "base/clock.hpp"
#include "call/attempt.hpp"
#include "call/kinds.hpp"
#include "call/queue_status.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gateway {

struct call_record {
    std::string id;
    std::string client;
    std::string owner;  // the name of the key it came with; empty: none
    endpoint where = endpoint::other;
    kind what = kind::information;
    std::string model;        // as the client named it, canonical; empty when it named none
    std::string model_label;  // the same if the upstream lists it, else "other"
    outcome how = outcome::ok;
    phase ended_in = phase::waiting;
    int status = 0;  // of the answer, as far as a head was sent
    std::int64_t queue_us = 0;
    std::int64_t load_us = 0;
    std::int64_t first_byte_us = -1;  // since arrival; -1: none came
    std::int64_t total_us = 0;
    std::uint64_t bytes = 0;   // of body, from upstream
    std::uint64_t chunks = 0;  // pieces of it
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;
    wall_clock::time_point finished_at{};
    std::vector<attempt> attempts;
};

}  // namespace gateway
