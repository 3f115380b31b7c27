// Which header lines of a client go on to Ollama (SPEC §4 "Towards Ollama"). Cloud models send them
// on to ollama.com (ollama.md §7), so nothing that is between the client and the gateway may be
// among them. Pure.
#pragma once

#include "downstream/head.hpp"

#include <string>
#include <string_view>

namespace gateway {

struct forwarding {
    // The body goes on without the Content-Encoding it came with.
    bool decoded = false;
    // Our name in Via, put behind the client's entries; empty: no Via at all.
    std::string_view via;
};

// The lines, each with its CRLF. What the caller adds itself is left out: Host, Content-Length,
// Transfer-Encoding and, for the way upstream, Connection. Also left out: Expect, Origin, cookies,
// gateway keys (Authorization, X-Api-Key), what proxies add, X-Gateway-*, X-Queue-Events, Prefer.
// The answer is asked for uncompressed.
std::string upstream_fields(const request_head& head, const forwarding& how = {});

// Has this request been here before? `name` is our name in Via.
bool came_back(const request_head& head, std::string_view name);

}  // namespace gateway
