// What stands in the body of POST /gateway/jobs, and in a line of the file that the command line
// submits. The body of the call in it stays as it was written, byte by byte. Pure.
#pragma once

#include "call/fault.hpp"
#include "jobs/job.hpp"

#include <boost/system/result.hpp>

#include <string_view>
#include <vector>

namespace gateway {

struct submission {
    std::vector<new_job> jobs;  // without id, client and owner
    bool many = false;          // it was a list
};

// Faults: bad_body, with the place of the first mistake.
boost::system::result<submission, fault> read_submission(std::string_view body);

}  // namespace gateway
