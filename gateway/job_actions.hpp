// What `ollama-gateway jobs …` does to the store. A server that runs on the same store sees it
// there: nothing is asked of it otherwise.
#pragma once

#include "proxy-config/config.hpp"

#include <string>
#include <vector>

namespace gateway {

struct jobs_wish {
    std::string verb;  // list, show, submit, results, cancel, retry, reap
    std::vector<std::string> ids;
    std::string file;
    std::string status;
    std::string batch;
    std::string priority;
    std::string cursor;
    unsigned limit = 20;
    bool json = false;
    bool wait = false;
};

// The exit code: 0 done, 1 not, 2 asked wrongly.
int do_jobs(const jobs_wish& w, const config& c);

}  // namespace gateway
