// What the faults do to a request.
#pragma once

#include <optional>
#include <string>

#include "bench/sim/connection.hpp"
#include "bench/sim/job.hpp"

namespace sim {

awaitable<void> until_gone(connection& c, std::string_view phase);
// Ends early when the client leaves.
awaitable<void> sleep_until(connection& c, instant when);
awaitable<void> say_error(connection& c, const job& j, int status, std::string message);

// A fault in place of the answer. `says` may be null: then errors have the native shape.
awaitable<void> strike_before(connection& c, const fault& f, const dialect* says);
// A fault in how the answer comes: before it begins, and when it has ended.
void apply_manner(connection& c, const fault& f);
void finish_manner(connection& c, const std::optional<fault>& f);

// A fault of a run, when its slot has been granted. False: it was all there is to this request.
// `keep`: how many tokens come before the fault strikes again.
awaitable<bool> survives_run_fault(connection& c, const job& j, const fault& f, int& keep);
// What it does to a stream once those tokens are out. True: the run goes on.
awaitable<bool> strike(connection& c, const job& j, const fault& f);
// What it does to a one-piece answer.
awaitable<void> strike_whole(connection& c, const job& j, const fault& f, totals t);

}  // namespace sim
