// The bytes that a waiting or failing client gets, byte for byte as SPEC §6, §9, §A say. Pure.
#pragma once

#include "call/attempt.hpp"
#include "call/fault.hpp"
#include "call/kinds.hpp"
#include "call/queue_status.hpp"
#include "call/telling.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// {"status":"waiting","position":2,…} (SPEC §A). Key order as there; numbers as there; valid UTF-8
// always.
std::string payload(const queue_status& s);

// One telling. `e` gives the empty chunk's shape; `created` is Unix seconds of the call's arrival
// and `created_at` its RFC 3339 form; for open_webui `done` says that the wait is over.
std::string frame(telling t, endpoint e, const queue_status& s, std::int64_t created,
                  std::string_view created_at, bool done = false);

// A chunk that says nothing at all, without an event name, for courtesy::act::chunk_refresh. For
// chat_completions and completions only.
std::string empty_chunk_frame(endpoint e, const queue_status& s, std::int64_t created);

// The waiting message in the language the client prefers: `accept_language` is its header,
// `catalogue` language → text with {position} and {seconds}. Falls back to "en", then to any.
struct message_text {
    std::string language;
    std::string text;
};
std::string queue_message(const std::vector<message_text>& catalogue,
                          std::string_view accept_language, std::size_t position,
                          std::int64_t waited_seconds);

// A whole error body before the head, in the dialect's words (SPEC §9, §A): one line, ending in
// "\n". Native: never a key `status` or `statuscode`. OpenAI: `error` is the first key. `attempts`
// only when not empty.
std::string error_body(const fault& f, dialect d, const std::vector<attempt>& attempts);

// The same after the head: with http_status in it, framed for the shape that was committed:
// ndjson and one_piece: a line; sse: `data: …\n\n` for chat_completions and completions,
// `event: error\ndata: …\n\n` for responses, messages (clients.md §1.2: type, code, message and an
// error object) and native_sse. Starts with "\n" never: what stands before it is white space,
// comments or whole records; `mid_line` says that a record was cut: then it starts on a new line
// (and, for SSE, a new event).
std::string error_in_band(const fault& f, endpoint e, dialect d, shape s,
                          const std::vector<attempt>& attempts, bool mid_line);

// The same as a whole answer of its own, with everything that was tried.
std::string upstream_error_body(int status, std::string_view body, dialect d,
                                const std::vector<attempt>& attempts);

// An upstream's own error (status and body, before its head was passed on, after ours was
// committed) as an in-band error: its own words, with http_status added.
std::string upstream_error_in_band(int status, std::string_view body, endpoint e, dialect d,
                                   shape s, const std::vector<attempt>& attempts);

}  // namespace gateway
