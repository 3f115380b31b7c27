// A job's attempts, as they stand in its row: a JSON list that grows with each of its runs. Pure.
#pragma once

#include "call/attempt.hpp"

#include <string>

namespace gateway {

// Two lists as one.
inline std::string joined(const std::string& a, const std::string& b)
{
    if (a.size() <= 2 || b.size() <= 2)
        return a.size() <= 2 ? b : a;
    return a.substr(0, a.size() - 1) + "," + b.substr(1);
}

// The list of a run that nobody has seen the end of.
inline std::string lost_attempt(const std::string& model)
{
    return to_json({attempt{model, "", outcome::gateway_stopped, 0, "", 0}});
}

}  // namespace gateway
