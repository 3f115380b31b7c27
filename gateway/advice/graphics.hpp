// The graphics cards of this machine, as far as nvidia-smi knows them.
#pragma once

#include "advice/advice.hpp"

namespace gateway {

// None when there is no nvidia-smi, or it says nothing within five seconds.
std::vector<graphics_card> graphics_cards();

}  // namespace gateway
