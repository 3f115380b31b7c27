// A job as it is shown (SPEC §A). Pure.
#pragma once

#include "jobs/job.hpp"

#include <string>
#include <string_view>

namespace gateway {

// {"id":…,"status":…,…}, without its result.
std::string job_json(const job& j);
// The same with it: a JSON answer as it is, any other as text; null unless it has succeeded.
std::string job_json(const job& j, std::string_view answer);
// {"jobs":[…],"next_cursor":…}
std::string job_list_json(const job_page& p);

// The answer as a JSON value.
std::string answer_json(std::string_view content_type, std::string_view answer);

// "2026-11-26T09:39:35.120Z"
std::string rfc3339_of_ms(std::int64_t unix_ms);

}  // namespace gateway
