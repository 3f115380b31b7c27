// Sockets on the loopback: the few calls that both programs need.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bench/load/clock.hpp"

namespace load {

// "127.0.0.1:8080"; numbers only.
std::optional<sockaddr_in> parse_address(const std::string& text);

// Both return a non-blocking descriptor with TCP_NODELAY, or -1 with errno. Connecting waits for
// the handshake: it is done before anything is measured.
int listen_on(const sockaddr_in& address);
int connect_to(const sockaddr_in& address);

enum class leaving : std::uint8_t { rst, fin, half };  // linger 0 · close() · shutdown(SHUT_WR)

// Says good-bye in the given way; after `half` the descriptor stays open.
void leave(int fd, leaving how);

// The number that follows `"key":` in a JSON text, for texts whose shape is known.
double number_after(std::string_view text, std::string_view key, double otherwise);

}  // namespace load
