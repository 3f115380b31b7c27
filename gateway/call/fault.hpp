// What went wrong: whose fault it is, what it was, and whether it may be tried again. A value.
// Pure.
#pragma once

#include "call/kinds.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

enum class fault_code : std::uint8_t {
    queue_full,       // max_waiting, or the client holds its share of the places
    queue_timeout,    // it would wait, or has waited, longer than max_wait
    no_upstream,      // no upstream up after hold_upstream
    upstream_failed,  // refused, reset or garbage before its head; or cut short after it
    timed_out,        // first_byte, idle, whole, total
    model_stuck,      // an unload did not take the model away
    bad_request,      // bad HTTP
    bad_body,         // bad or ambiguous body
    too_large,        // body over limits.body
    head_too_large,   // head over limits.header_*
    unauthorized,
    forbidden,
    overloaded,        // memory or connections used up
    loop,              // our own Via came back
    not_found,         // no such call, no such page
    bad_method,        // a page of ours asked with the wrong method
    cancelled,         // by an operator or by POST …/cancel
    draining,          // the gateway is stopping
    conflict,          // a job is not in a state for that; its idempotency key is another's
    jobs_unavailable,  // the job store cannot be used
    client_gone,
};

enum class whose : std::uint8_t { client, upstream, ours };
enum class retry : std::uint8_t { no, fresh_connection, elsewhere };

struct fault {
    fault_code code = fault_code::upstream_failed;
    std::string message;  // for people; never a prompt, never a key
    whose by = whose::ours;
    retry again = retry::no;
    int retry_after = 0;  // seconds, 1…60; 0: no Retry-After
};

// The word in `code` of every error body: "queue_full", …
std::string_view word(fault_code code);

// The one table of fault → HTTP status (SPEC §9).
int http_status(fault_code code, dialect d);

}  // namespace gateway
