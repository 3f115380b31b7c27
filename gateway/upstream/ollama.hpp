// A tiny Ollama client: what the gateway itself asks of an upstream (ps, tags, version, unload).
// Each question is one request with a deadline of its own.
#pragma once

#include "call/fault.hpp"
#include "upstream/pool.hpp"

#include <boost/system/result.hpp>

#include <string>

namespace gateway {

struct reply {
    int status = 0;
    std::string body;
};

// `within`: duration::max() leaves the end to `outer`, and a connection 10 s.
// Faults: upstream_failed (not reached, broken, or an answer over 64 MiB), timed_out; the latter
// also when `outer` was requested.
awaitable<boost::system::result<reply, fault>> ask(asio::io_context& io, upstream_pool& pool,
                                                   std::string method, std::string path,
                                                   std::string body, duration within,
                                                   stop* outer = nullptr);

// Is an answer Ollama's "server busy" (sched.go:88)? Then nothing of the request was done.
bool says_busy(int status, std::string_view body);

// The header lines and request line of a request of ours or of a call's: Host and framing are
// written here. `length`: of a body, or none; `chunked`: a body of unknown length.
std::string request_head(const upstream_url& to, std::string_view method, std::string_view target,
                         std::string_view fields, std::optional<std::uint64_t> length,
                         bool chunked);

}  // namespace gateway
