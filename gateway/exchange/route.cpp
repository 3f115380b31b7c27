#include "exchange/route.hpp"

#include <algorithm>

namespace gateway {

way route(const route_facts& f)
{
    bool wants = f.what == kind::generation || f.what == kind::embedding || f.what == kind::load;
    if (!wants || f.cloud || f.known_not)
        return way::straight;
    if (f.what == kind::load)
        return way::errand;
    return f.what == kind::embedding ? way::embedding : way::generation;
}

unsigned embedding_weight(unsigned inputs, unsigned pool)
{
    return std::clamp(inputs, 1u, std::max(pool, 1u));
}

}  // namespace gateway
