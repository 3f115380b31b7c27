// Whose call it is, for fairness and for the log: a verified key's, else what a trusted proxy says,
// else the peer's (SPEC §5). Pure.
#pragma once

#include "downstream/head.hpp"
#include "proxy-config/access_key.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// An IPv4 or IPv6 network; IPv4 is kept as IPv4-mapped IPv6 (so "::/0" holds IPv4 too).
struct network {
    std::array<std::uint8_t, 16> address{};
    unsigned bits = 128;
    bool contains(const std::array<std::uint8_t, 16>& a) const;
};
// "127.0.0.0/8", "::1/128", "192.0.2.7". Returns false, and leaves `out` alone, when it is none. An
// address may have a zone ("fe80::1%eth0"), which is not compared.
bool parse_network(std::string_view text, network& out);
bool parse_address(std::string_view text, std::array<std::uint8_t, 16>& out);

struct peer {
    std::string address;  // "192.0.2.7", "::1"; empty for a unix socket
    bool unix_socket = false;
};

struct identity {
    std::string client;  // the fairness key: "user@lab.org", "192.0.2.7", "unix"
    // The client's address as far as known, in its shortest form; empty for a unix socket. From a
    // trusted peer it is what X-Forwarded-For says before what Cf-Connecting-Ip says: this decides
    // over `clients.admins`, and a proxy that appends to the one passes on whatever a client writes
    // in the other.
    std::string address;
    bool trusted_peer = false;  // the peer is a trusted proxy (or a unix socket)
    bool tunnelled = false;     // Cf-Ray, Forwarded or X-Forwarded-* stand in the head
    bool loopback = false;      // the peer is loopback or a unix socket
    bool unix_socket = false;   // it is a unix socket

    // Of the key that the request showed, once it is verified (permission.hpp): its name, which is
    // `client` too and owns the jobs; empty without one.
    std::string key;
    scopes may;               // what it allows; nothing without one
    bool background = false;  // its calls yield to others
};

// `identity_headers` first, then Cf-Connecting-Ip, then the rightmost untrusted X-Forwarded-For:
// only from a trusted peer; else the peer's address. Values longer than 256 bytes or with control
// characters are passed over, and so is an identity header or Cf-Connecting-Ip that stands twice
// with different values: one of them is the client's own. If every X-Forwarded-For address is
// trusted, the leftmost is the client; at something that is no address the walk ends with the last
// one seen.
identity identify(const request_head& head, const peer& p, const std::vector<network>& trusted,
                  const std::vector<std::string>& identity_headers);

// May it manage models (SPEC §4 "Local")? policy: "allow", "local", "deny". With "local" also who
// is in `admins`; a key's scope is the caller's to know.
bool may_manage(std::string_view policy, const identity& who, bool hosts_empty,
                const std::vector<network>& admins);

}  // namespace gateway
