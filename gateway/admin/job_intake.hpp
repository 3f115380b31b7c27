// Between calls and jobs: a call that becomes a job, and a job that becomes a call again when its
// turn has come. No I/O.
#pragma once

#include "call/call.hpp"
#include "downstream/later.hpp"
#include "jobs/job.hpp"

#include <boost/system/result.hpp>

#include <memory>
#include <optional>
#include <string>

namespace gateway {

// The key that a request was made with, as the owner of its jobs; none: they belong to whoever
// holds their ids.
std::optional<std::string> owner_of(const identity& who);

// A call whose client does not wait for it. Its priority is background unless X-Gateway-Priority
// says otherwise; Idempotency-Key is the header's.
new_job job_of(const call& c, const page_request& r);

// The call that a job is. Faults: bad_body, when the program understands its body otherwise than
// the one that took it did; overloaded, when there is no memory for it now.
boost::system::result<call, fault> call_of(const job& j, job_request what,
                                           std::shared_ptr<const config> settings,
                                           std::string_view via, memory_budget& memory);

}  // namespace gateway
