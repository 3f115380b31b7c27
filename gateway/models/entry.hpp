// What is known of one model at one upstream besides its state. Private to this room.
#pragma once

#include "async/event.hpp"
#include "models/models.hpp"

namespace gateway {

struct models::entry {
    std::string name;  // of its runner
    std::string as;    // the name it was last called by
    silence quiet;
    parallel beside;
    boost::intrusive::list<presence, boost::intrusive::constant_time_size<false>> out;
    bool served = true;               // a call of it has gone out since it was loaded
    std::optional<unload_plan> plan;  // while it is unloading or stuck
    unsigned requests_out = 0;        // unload requests not yet answered
    bool probing = false;
    instant next_probe{};
    std::unique_ptr<event> news;  // for who carries out the plan
};

}  // namespace gateway
