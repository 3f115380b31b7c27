// One timer for all token streams. A stream is due at absolute times; those due within the same
// quarter of a millisecond are served in one wake-up, which is what keeps thousands of streams
// cheap.
#pragma once

#include <set>
#include <utility>

#include "bench/sim/asio.hpp"
#include "gateway/base/clock.hpp"

namespace sim {

using gateway::instant;
using gateway::steady;

// Something that is to be called at a time. It must outlive its place: cancel() before it goes.
class paced {
public:
    virtual void due(instant now) = 0;

protected:
    ~paced() = default;

private:
    friend class pacer;
    instant at_ = instant::max();  // max: not in the schedule
};

class pacer {
public:
    explicit pacer(asio::io_context& io) : timer_(io) {}

    // Replaces an earlier time of the same one.
    void at(instant when, paced& who);
    void cancel(paced& who);

private:
    void arm();
    void fire();

    asio::steady_timer timer_;
    std::set<std::pair<instant, paced*>> schedule_;
    instant armed_for_ = instant::max();
    bool firing_ = false;
};

}  // namespace sim
