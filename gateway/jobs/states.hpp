// What can become of a job: queued → running → succeeded | failed | cancelled, and nothing else.
// Whoever changes a job's row asks here first. Pure: no clock, no store.
//
// Invariants (tests/jobs/states_test.cpp): `attempt` counts the times it was begun and not put back
// as if it had not been; a job that was asked to be cancelled is never begun again unless somebody
// asks for it anew; a finished job stays as it is until then; what is lost too often fails.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

enum class job_state : std::uint8_t { queued, running, succeeded, failed, cancelled };

std::string_view word(job_state s);
std::optional<job_state> job_state_of(std::string_view word);

constexpr bool finished(job_state s)
{
    return s != job_state::queued && s != job_state::running;
}

enum class job_event : std::uint8_t {
    claim,       // a runner takes it up
    succeed,     // its answer is whole
    fail,        // it has ended in an error
    put_back,    // its runner stops, or the queue refused it: as if it had not been begun
    lose,        // its runner is gone, or does not know it
    ask_cancel,  // somebody does not want it any more
    stop,        // it has been ended because of that
    retry,       // somebody wants it again
};

// Where a job stands, as far as that decides what may come next.
struct job_life {
    job_state state = job_state::queued;
    unsigned attempt = 0;  // how often it was begun
    unsigned spent = 0;    // how many of these were before somebody asked for it again
    unsigned run = 0;      // how often its answer was begun: its pieces belong to one run
    bool cancel_asked = false;
    bool operator==(const job_life&) const = default;
};

// Where it stands after that; nothing when that cannot happen to it now. `max_attempts` decides
// whether a lost one is begun again.
std::optional<job_life> after(const job_life& j, job_event e, unsigned max_attempts);

// May it be forgotten altogether?
constexpr bool removable(job_state s)
{
    return s != job_state::running;
}

// What is told of one that is lost for good.
inline constexpr std::string_view lost_text = "the gateway stopped while this job was running";

// What is told of one that stands there now, when its runner said so.
std::optional<std::string> error_after(const job_life& j, std::optional<std::string> said);

}  // namespace gateway
