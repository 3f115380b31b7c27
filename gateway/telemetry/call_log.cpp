// The log line of a call at its end: what became of it, and nothing of what was said.
#include "base/log.hpp"
#include "telemetry/metrics.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace gateway {

void log_ended(const call_record& r)
{
    if (!log::enabled(log::level::info))
        return;
    static std::string attempts;  // room that is used again and again
    attempts.clear();
    append_header(attempts, r.attempts);
    using us = std::chrono::microseconds;
    log::info("call", {{"id", r.id},
                       {"client", r.client},
                       {"endpoint", name(r.where)},
                       {"model", r.model},
                       {"outcome", word(r.how)},
                       {"phase", word(r.ended_in)},
                       {"status", r.status},
                       {"queue_ms", us(r.queue_us)},
                       {"load_ms", us(r.load_us)},
                       {"first_byte_ms",
                        r.first_byte_us < 0 ? std::nullopt : std::optional(us(r.first_byte_us))},
                       {"total_ms", us(r.total_us)},
                       {"bytes", r.bytes},
                       {"prompt_tokens", r.prompt_tokens},
                       {"completion_tokens", r.completion_tokens},
                       {"attempts", attempts}});
}

}  // namespace gateway
