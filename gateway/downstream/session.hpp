// One client connection from its first byte to its last: heads through the gate, bodies in, calls
// to the service, pages to whoever answers them. A session is one coroutine; its locals are its
// state.
#pragma once

#include "async/gate.hpp"
#include "base/memory_budget.hpp"
#include "call/sink.hpp"
#include "downstream/connection.hpp"
#include "downstream/later.hpp"
#include "downstream/pages.hpp"
#include "downstream/session_rules.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

namespace gateway {

// A request that ended before it became a call: refused, or its client has left in the midst of it.
struct refusal_note {
    std::string id;
    std::string client;
    endpoint where = endpoint::other;
    int status = 0;  // 0: it had no answer
    fault_code why;
    duration after{};  // its first byte
};

// What all sessions of a listener share. Owned by the gateway; outlives them.
struct session_host {
    asio::io_context& io;
    memory_budget& memory;
    std::function<std::shared_ptr<const session_rules>()> rules;
    service* calls = nullptr;  // none on the admin port
    pages* own = nullptr;      // /gateway/… on the public port, everything on the admin port
    later* jobs = nullptr;     // none: every client waits for its answer
    std::string pages_port;    // where our own pages come from (/try): the admin port; or empty
    std::string via;           // the pseudonym of this process in Via
    bool closing = false;      // draining: no further request is read
    instant closing_since{};
    gate inside;
    std::unordered_set<client_connection*> open;
    // For the log and the metrics.
    std::function<void(const refusal_note&)> refused;
    std::uint64_t served = 0;  // requests
    bool tunnel_seen = false;  // a call came with tunnel headers

    explicit session_host(asio::io_context& i, memory_budget& m) : io(i), memory(m), inside(i) {}

    // Draining: idle sessions end, busy ones end after their answer.
    void close_idle()
    {
        closing = true;
        closing_since = steady::now();
        for (auto* c : open)
            c->wake();
    }
};

// `local_only`: it came in by a loopback listener, so its Host is checked (DNS rebinding).
awaitable<void> serve_client(session_host& host, accepted_socket socket, bool local_only);

}  // namespace gateway
