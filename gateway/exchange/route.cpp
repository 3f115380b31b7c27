#include "exchange/route.hpp"

#include <algorithm>

namespace gateway {

way route(const route_facts& f)
{
    bool generates = f.what == kind::generation || f.what == kind::embedding;
    if (!generates || f.cloud || f.known_not)
        return way::straight;
    return f.what == kind::embedding ? way::embedding : way::generation;
}

unsigned embedding_weight(unsigned inputs, unsigned pool)
{
    return std::clamp(inputs, 1u, std::max(pool, 1u));
}

}  // namespace gateway
