#include "service_manager.hpp"

#include <systemd/sd-daemon.h>

namespace gateway::service_manager {

void ready()
{
    ::sd_notify(0, "READY=1");
}

void stopping()
{
    ::sd_notify(0, "STOPPING=1");
}

void alive()
{
    ::sd_notify(0, "WATCHDOG=1");
}

std::optional<duration> watchdog_interval()
{
    std::uint64_t micros = 0;
    if (::sd_watchdog_enabled(0, &micros) <= 0)
        return std::nullopt;
    return std::chrono::microseconds(micros);
}

}  // namespace gateway::service_manager
