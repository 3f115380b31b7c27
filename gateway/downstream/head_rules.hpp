// The parts of the head gate that are about single words of it: the method, the target, a host.
// Pure.
#pragma once

#include "downstream/head.hpp"

#include <string_view>

namespace gateway {

// GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS (D16).
bool is_known_method(std::string_view method);

// Splits and decodes head.target into path and query; nullptr, or what is wrong with it (D15): it
// must be in origin-form and in the URI alphabet, its path one that no server could read as another
// path.
const char* read_target(request_head& head);

// A Host as a client may send it (D8): a name, an IPv4 or a bracketed IPv6 address, and a port.
// Empty is one (RFC 9112 §3.2).
bool is_host(std::string_view value);

// `host` without its port and without the brackets of an IPv6 address.
std::string_view without_port(std::string_view host);

}  // namespace gateway
