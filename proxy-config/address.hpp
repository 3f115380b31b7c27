// Addresses as they stand in the configuration: where to listen, whom to ask, who is trusted. Pure:
// names are not resolved here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

// "127.0.0.1:11435", "[::1]:11435", "localhost:11435", ":11435" (every interface), "unix:/path".
struct listen_address {
    std::string host;  // "127.0.0.1", "::1", "localhost"; empty: every interface, or a unix socket
    std::uint16_t port = 0;  // 0: the system chooses
    std::string path;        // of a unix socket; else empty

    bool is_unix() const { return !path.empty(); }
    bool operator==(const listen_address&) const = default;
};

// "http://host[:port][/prefix]", https too. No user, no query, no fragment.
struct upstream_address {
    bool tls = false;
    std::string host;  // lower case, IPv6 without brackets
    std::uint16_t port = 80;
    std::string prefix;  // "" or "/ollama": no slash at its end

    bool operator==(const upstream_address&) const = default;
};

// nullopt: `why` says what is wrong with it, in words that may stand in a log.
std::optional<listen_address> parse_listen_address(std::string_view text, std::string& why);
std::optional<upstream_address> parse_upstream_address(std::string_view text, std::string& why);

// "192.0.2.7", "10.0.0.0/8", "::1/128".
bool is_network(std::string_view text);

// A host name, or an IP address without brackets: no scheme, no port.
bool is_host_name(std::string_view text);

bool is_loopback(std::string_view host);

// Would the second one to listen be told that the address is in use?
bool collide(const listen_address& a, const listen_address& b);

// Does this URL lead back to this listener, as far as can be told without resolving names?
bool leads_to(const upstream_address& url, const listen_address& to);

}  // namespace gateway
