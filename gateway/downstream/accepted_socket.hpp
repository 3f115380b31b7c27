// A socket as it was accepted, until a connection takes it over.
#pragma once

#include <sys/socket.h>

#include <string>
#include <utility>

namespace gateway {

class accepted_socket {
public:
    // Non-blocking; whose it is, as accept() tells it.
    accepted_socket(int fd, const sockaddr_storage& from) : fd_(fd), from_(from) {}
    accepted_socket(accepted_socket&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)), from_(other.from_)
    {
    }
    accepted_socket& operator=(accepted_socket&&) = delete;
    ~accepted_socket();  // closes

    int take() { return std::exchange(fd_, -1); }
    int native_handle() const { return fd_; }
    bool is_unix() const { return from_.ss_family == AF_UNIX; }
    std::string address() const;  // without the port; empty for what has no IP address

private:
    int fd_;
    sockaddr_storage from_;
};

}  // namespace gateway
