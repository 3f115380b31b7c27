// Whether a job store could be kept where the configuration says: looked at by `check`.
#pragma once

#include <string>

namespace gateway {

// What is in the way, as whoever runs this sees it; empty when nothing is. Creates nothing.
std::string trouble_with_store_at(const std::string& file);

}  // namespace gateway
