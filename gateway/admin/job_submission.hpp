// What stands in the body of POST /gateway/jobs, and in a line of the file that the command line
// submits. The body of the call in it stays as it was written, byte by byte. Pure.
#pragma once

#include "call/fault.hpp"
#include "jobs/job.hpp"

#include <boost/system/result.hpp>

#include <functional>
#include <string_view>
#include <vector>

namespace gateway {

struct submission {
    std::vector<new_job> jobs;  // without id, client and owner
    bool many = false;          // it was a list
};

// Gives each job to `take`, in their order, until it says false; holds nothing of those before.
// True: it was a list. Faults as below, when `take` has had those before the mistake.
boost::system::result<bool, fault> each_submission(std::string_view body,
                                                   const std::function<bool(new_job)>& take);

// Faults: bad_body, with the place of the first mistake.
boost::system::result<submission, fault> read_submission(std::string_view body);

}  // namespace gateway
