// Sockets on the loopback.
#include "bench/load/net.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>

namespace load {

std::optional<sockaddr_in> parse_address(const std::string& text)
{
    auto colon = text.rfind(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (colon == std::string::npos ||
        inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1)
        return std::nullopt;
    auto port = std::strtol(text.c_str() + colon + 1, nullptr, 10);
    if (port <= 0 || port > 65535)
        return std::nullopt;
    address.sin_port = htons(std::uint16_t(port));
    return address;
}

static const sockaddr* generic(const sockaddr_in& address)
{
    return reinterpret_cast<const sockaddr*>(&address);
}

int listen_on(const sockaddr_in& address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted sockets inherit it
    if (bind(fd, generic(address), sizeof address) == 0 && listen(fd, 4096) == 0)
        return fd;
    close(fd);
    return -1;
}

int connect_to(const sockaddr_in& address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, generic(address), sizeof address) != 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

void leave(int fd, leaving how)
{
    if (how == leaving::half) {
        shutdown(fd, SHUT_WR);
        return;
    }
    if (how == leaving::rst) {
        linger hard{1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    close(fd);
}

double number_after(std::string_view text, std::string_view key, double otherwise)
{
    for (std::size_t at = 0; (at = text.find(key, at)) != text.npos; at += key.size()) {
        auto after = at + key.size();
        if (at == 0 || text[at - 1] != '"' || text.substr(after, 1) != "\"")
            continue;
        after = text.find_first_not_of(" :", after + 1);
        if (after == text.npos)
            break;
        std::string digits(text.substr(after, 24));
        char* end = nullptr;
        auto value = std::strtod(digits.c_str(), &end);
        if (end != digits.c_str() && std::isfinite(value))
            return value;
    }
    return otherwise;
}

}  // namespace load
