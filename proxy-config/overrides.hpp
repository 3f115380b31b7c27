// What flags and the environment say, laid over what the file said. Pure.
#pragma once

#include "proxy-config/config.hpp"

#include <string>
#include <vector>

namespace gateway {

void apply_overrides(config& c, const std::vector<config_override>& overrides,
                     std::vector<config_mistake>& mistakes);

// The name of an upstream: its own, or where it is.
std::string name_of(const config::upstream& u);

}  // namespace gateway
