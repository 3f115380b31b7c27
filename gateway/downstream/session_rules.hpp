// What a configuration means for sessions, worked out once per snapshot. A value. Pure.
#pragma once

#include "downstream/identity.hpp"
#include "downstream/key_ring.hpp"
#include "proxy-config/config.hpp"

#include <memory>
#include <string>
#include <vector>

namespace gateway {

struct session_rules {
    std::shared_ptr<const config> settings;
    std::vector<network> trusted;
    std::vector<network> admins;
    std::vector<std::string> hosts;  // the configured ones and this machine's own name
    key_ring keys;

    bool keys_asked() const { return settings->auth.keys_file.has_value(); }
};

}  // namespace gateway
