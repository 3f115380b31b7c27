// Where an upstream is: its URL taken apart, and its name resolved off the event loop. getaddrinfo
// cannot be interrupted (Asio's resolver blocks the next lookup and even the end of the program on
// it), so each lookup has a thread of its own that nobody need wait for.
#pragma once

#include "async/stop.hpp"
#include "async/words.hpp"
#include "base/clock.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

struct upstream_url {
    bool tls = false;
    std::string host;       // without brackets
    std::string port;       // digits
    std::string prefix;     // "" or "/ollama"
    std::string authority;  // the Host we send: host[:port] as the URL means it
};

// The URL has been validated by the configuration: http or https, a host, perhaps a port and a
// prefix.
upstream_url parse_upstream_url(std::string_view url);

class resolver {
public:
    explicit resolver(asio::io_context& io);
    ~resolver();  // a lookup that still hangs is left to its thread

    using endpoints = std::vector<asio::ip::tcp::endpoint>;
    // Empty when there is no answer by `deadline` or the stop. Numeric addresses are answered at
    // once. Whoever asks for a name that is already looked up shares that lookup: while a name
    // server hangs there is one thread per name, not one per call.
    awaitable<endpoints> resolve(std::string host, std::string port, instant deadline, stop& s);

private:
    struct shared;
    struct lookup;
    std::shared_ptr<lookup> look_up(const std::string& host, const std::string& port);

    asio::io_context& io_;
    std::shared_ptr<shared> shared_;
};

}  // namespace gateway
