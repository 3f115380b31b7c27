// What a service manager (systemd) is told, when there is one.
#pragma once

#include "base/clock.hpp"

#include <optional>

namespace gateway::service_manager {

void ready();
void stopping();
void alive();
// How often it wants to hear alive(), when it watches.
std::optional<duration> watchdog_interval();

}  // namespace gateway::service_manager
