// The log line of a call at its end: what became of it, and nothing of what was said.
#include "base/log.hpp"
#include "telemetry/metrics.hpp"

#include <optional>

namespace gateway {

void log_ended(const call_record& r)
{
    if (!log::enabled(log::level::info))
        return;
    auto in_ms = [](std::int64_t us) { return double(us) / 1000; };
    std::optional<double> first_byte;
    if (r.first_byte_us >= 0)
        first_byte = in_ms(r.first_byte_us);
    log::info("call", {{"id", r.id},
                       {"client", r.client},
                       {"endpoint", name(r.where)},
                       {"model", r.model},
                       {"outcome", word(r.how)},
                       {"phase", word(r.ended_in)},
                       {"status", r.status},
                       {"queue_ms", in_ms(r.queue_us)},
                       {"load_ms", in_ms(r.load_us)},
                       {"first_byte_ms", first_byte},
                       {"total_ms", in_ms(r.total_us)},
                       {"bytes", r.bytes},
                       {"prompt_tokens", r.prompt_tokens},
                       {"completion_tokens", r.completion_tokens},
                       {"attempts", to_header(r.attempts)}});
}

}  // namespace gateway
