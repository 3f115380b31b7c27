// Everything the simulated server shares between its connections.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bench/sim/asio.hpp"
#include "bench/sim/faults.hpp"
#include "bench/sim/model.hpp"
#include "bench/sim/pacer.hpp"
#include "bench/sim/scheduler.hpp"
#include "bench/sim/stats.hpp"
#include "bench/sim/world_clock.hpp"

namespace sim {

struct settings {
    std::string listen = "127.0.0.1:11434";  // port 0: any free one
    std::vector<model_spec> models;          // empty: default_models()
    std::vector<model_spec> registry;        // what /api/pull finds besides them
    std::vector<std::string> faults;         // fault_table's flag form
    scheduler_limits scheduler;
    bool slot_leak = false;  // §3.4: an abort while a write is blocked costs the slot
    bool fixed_time = false;
    bool stamp = false;  // the text of a token is the CLOCK_MONOTONIC nanosecond it was made in
    int context_length = 4096;
    int send_buffer = 0;  // bytes of SO_SNDBUF; 0 leaves it to the kernel
    std::size_t keep_requests = 200;
    std::string version = "0.33.0";
    std::string tls_cert;
    std::string tls_key;
};

class connection;

class world {
public:
    world(asio::io_context& io, const settings& set);

    asio::io_context& io;
    settings set;
    wall_clock wall;
    library models;
    library registry;
    std::map<std::string, std::uint64_t> blobs;  // uploaded: hex digest → size
    fault_table faults;
    stats seen;
    scheduler sched;
    pacer pace;
    std::set<connection*> connections;
    std::function<void(duration)> refuse;  // closes the listener for so long
    // The server ends and is back after so long, with nothing loaded. All connections are cut but
    // the one that asks.
    void restart(duration away, connection* asking);
    bool loopback = true;  // listening on one: Host is checked (allowedHosts)
    bool stopping = false;

    // After anything that was asked of `sched`: sets its timer.
    void scheduled();
    void stop();

private:
    asio::steady_timer sched_timer_;
};

}  // namespace sim
