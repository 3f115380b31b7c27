// What is known of one model at one upstream. Private to this room.
#pragma once

#include "async/event.hpp"
#include "models/models.hpp"

namespace gateway {

struct models::entry {
    std::string name;  // canonical
    std::optional<loaded_model> loaded;
    silence quiet;
    std::set<presence*> out;
    std::optional<unload_plan> plan;  // while it is unloading or stuck
    unsigned requests_out = 0;        // unload requests not yet answered
    bool probing = false;
    instant next_probe{};
    std::unique_ptr<event> news;  // for who carries out the plan
};

}  // namespace gateway
