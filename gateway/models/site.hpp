// One upstream with everything that belongs to it. Owned by the gateway.
#pragma once

#include "admission/admission.hpp"
#include "models/catalogue.hpp"
#include "models/models.hpp"
#include "upstream/health.hpp"
#include "upstream/pool.hpp"

#include <string>

namespace gateway {

struct site {
    place_id place;  // its index in the configuration
    std::string name;
    upstream_pool& pool;
    upstream_health& health;
    catalogue& names;
    models& loaded;
};

}  // namespace gateway
