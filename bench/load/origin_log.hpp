// The origin's log of calls, as gateway-origin's GET /log gives it.
#pragma once

#include <netinet/in.h>

#include <vector>

#include "bench/load/clock.hpp"

namespace load {

struct origin_call {
    long long seed;
    nanos start, end;
    bool complete;
};

void clear_origin_log(const sockaddr_in& origin);
// In the order in which the calls ended.
std::vector<origin_call> origin_log(const sockaddr_in& origin);

}  // namespace load
