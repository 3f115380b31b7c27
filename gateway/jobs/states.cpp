// The table of job_life's changes.
#include "jobs/states.hpp"

#include <array>

namespace gateway {

namespace {

constexpr std::array<std::string_view, 5> words = {"queued", "running", "succeeded", "failed",
                                                   "cancelled"};

job_life with(job_life j, job_state s)
{
    j.state = s;
    return j;
}

std::optional<job_life> from_queued(job_life j, job_event e)
{
    switch (e) {
        case job_event::claim:
            ++j.attempt;
            ++j.run;
            return with(j, job_state::running);
        case job_event::ask_cancel: return with(j, job_state::cancelled);
        default: return std::nullopt;
    }
}

std::optional<job_life> from_running(job_life j, job_event e, unsigned max_attempts)
{
    switch (e) {
        case job_event::succeed: return with(j, job_state::succeeded);
        case job_event::fail: return with(j, job_state::failed);
        case job_event::stop: return with(j, job_state::cancelled);
        case job_event::ask_cancel: j.cancel_asked = true; return j;
        case job_event::put_back:
            --j.attempt;
            return with(j, j.cancel_asked ? job_state::cancelled : job_state::queued);
        case job_event::lose:
            if (j.cancel_asked)
                return with(j, job_state::cancelled);
            return with(j,
                        j.attempt - j.spent < max_attempts ? job_state::queued : job_state::failed);
        default: return std::nullopt;
    }
}

}  // namespace

std::string_view word(job_state s)
{
    return words[static_cast<std::size_t>(s)];
}

std::optional<job_state> job_state_of(std::string_view word)
{
    for (std::size_t i = 0; i < words.size(); ++i)
        if (words[i] == word)
            return static_cast<job_state>(i);
    return std::nullopt;
}

std::optional<job_life> after(const job_life& j, job_event e, unsigned max_attempts)
{
    switch (j.state) {
        case job_state::queued: return from_queued(j, e);
        case job_state::running: return from_running(j, e, max_attempts);
        case job_state::succeeded: return std::nullopt;
        case job_state::failed:
        case job_state::cancelled: break;
    }
    if (e != job_event::retry)
        return std::nullopt;
    auto again = with(j, job_state::queued);
    again.spent = again.attempt;
    again.cancel_asked = false;
    return again;
}

std::optional<std::string> error_after(const job_life& j, std::optional<std::string> said)
{
    if (!finished(j.state))
        return std::nullopt;
    if (j.state == job_state::failed && !said)
        return std::string(lost_text);
    return said;
}

}  // namespace gateway
