// The life of a call that needs a model: scheduler, slot, prompt, tokens; and the faults on the
// way.
#pragma once

#include "bench/sim/connection.hpp"
#include "bench/sim/job.hpp"

namespace sim {

awaitable<void> run(connection& c, job j);

}  // namespace sim
