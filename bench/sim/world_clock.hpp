// Civil time, or one fixed moment so that two answers can be compared byte for byte.
#pragma once

#include "bench/sim/text.hpp"

namespace sim {

struct wall_clock {
    bool fixed = false;
    civil now() const;
};

}  // namespace sim
