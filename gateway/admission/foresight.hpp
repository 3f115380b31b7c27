// In which order the calls that wait would be served if nobody came or left: who is ready goes
// before who would force a load, within the bounds of SPEC §5. The turnstile is played to its end
// with the service times that are expected; what is played is kept until it is looked at anew, and
// stays without gaps and repeats while calls go and come. Pure.
//
// Not exact where what happens depends on what nobody knows: which of several running calls ends
// first, what Ollama puts out of VRAM without a budget, which models leave when three share room
// for two, and second copies of a busy model at another upstream.
#pragma once

#include "admission/guest.hpp"
#include "admission/model_lanes.hpp"
#include "admission/places.hpp"
#include "admission/served_before.hpp"
#include "admission/turnstile.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace gateway::queueing {

using guests = std::map<std::uint64_t, guest>;  // by ticket

// What goes before a call.
struct ahead {
    double permits = 0;
    double work = 0;            // permits times clock ticks
    std::size_t own_model = 0;  // calls of its model
    bool known = true;          // each of their models has an average
};

class foresight {
public:
    struct stage {
        const places& all;
        const model_lanes& lanes;
        const guests& running;
        const served_before& before;
        const doors& at;
    };
    // O(calls that wait × lanes). Says how much it was.
    std::size_t look(const stage& as, instant now);

    // From 1. Who has come since the last look stands behind all others. O(log n).
    std::size_t position(guest& g);
    ahead before(guest& g);
    // It waits no more. O(log n).
    void gone(guest& g);

private:
    class play;
    void tell(guest& g, const ahead& before);
    void append(std::size_t count);
    std::size_t still_there(std::size_t n) const;  // of the first n

    std::uint64_t look_ = 0;
    std::vector<ahead> order_;
    std::vector<std::size_t> there_;  // a Fenwick tree: who of the order still waits
};

}  // namespace gateway::queueing
