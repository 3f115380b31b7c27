// What is wrong with a configuration although each of its values is good. Pure.
#pragma once

#include "proxy-config/config.hpp"

#include <vector>

namespace gateway {

// Values that could not be read are passed over: they have their own mistakes.
void check_consistency(const config& c, std::vector<config_mistake>& mistakes);

}  // namespace gateway
