// What a configuration that is read again cannot change. Pure.
#pragma once

#include "proxy-config/config.hpp"

#include <string>
#include <vector>

namespace gateway {

// Makes `next` what can take effect after `now`: listen addresses, the database and which upstreams
// there are stay as they are. What was asked for and is not so is told, a sentence each. Upstreams
// are known by their names, wherever they stand in the list.
std::vector<std::string> keep_fixed(const config& now, config& next);

}  // namespace gateway
