// What one JSON record of an answer says of the answer as a whole. Read without a tree: members are
// stepped over by their brackets and quotes alone, so that a final line with a `context` of
// megabytes costs one pass and no memory. Pure.
#pragma once

#include "base/clock.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

struct record {
    bool whole = false;      // one JSON object, closed, nothing after it
    bool done = false;       // a top-level "done":true
    bool error = false;      // a top-level `error`, string or object
    std::string error_text;  // its text, a failed response's, or an error event's; at most 4 KiB
    std::string_view type;   // the top-level one, as written without quotes; a view into the record
    std::optional<std::uint64_t> prompt_tokens;
    std::optional<std::uint64_t> completion_tokens;
    // How long the model worked on it by Ollama's own account: prompt_eval_duration +
    // eval_duration, at the top; each is left out there when it is 0. None when neither is told.
    std::optional<duration> ran;
};

// Any depth, any bytes. The token counts are found where Ollama puts them: prompt_eval_count and
// eval_count at the top, and in `usage` at the top, in `response` and in `message`.
record read_record(std::string_view json);

// The token counts and the time of a record of which only the end is left.
record read_record_tail(std::string_view tail);

}  // namespace gateway
