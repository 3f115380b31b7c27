// Fetches and parses the origin's log.
#include "bench/load/origin_log.hpp"

#include <sstream>

#include "bench/load/client.hpp"

namespace load {

void clear_origin_log(const sockaddr_in& origin)
{
    fetch(origin, "DELETE", "/log");
}

std::vector<origin_call> origin_log(const sockaddr_in& origin)
{
    std::vector<origin_call> calls;
    std::istringstream lines(fetch(origin, "GET", "/log"));
    origin_call one{};
    for (std::string outcome; lines >> one.seed >> one.start >> one.end >> outcome;) {
        one.complete = outcome == "complete";
        calls.push_back(one);
    }
    return calls;
}

}  // namespace load
