// Accepts clients on one address until closed. Out of descriptors it stops accepting for a moment,
// not working.
#pragma once

#include "downstream/session.hpp"

#include <memory>
#include <string>

namespace gateway {

class listener {
public:
    // "127.0.0.1:11435", "[::1]:11435", ":11435", "localhost:11435", "unix:/path". Throws
    // std::runtime_error when it cannot listen there.
    listener(session_host& host, std::string address);
    ~listener();

    // Accepts until close().
    awaitable<void> run();
    void close();

    // The address with the port that it really has.
    const std::string& address() const { return address_; }
    // "9435"; empty for a unix socket.
    std::string port() const;
    bool local_only() const { return local_only_; }

private:
    // The socket that listens, and who accepts.
    class door;

    error_code accept_some();
    bool kept_back(int descriptor) const;
    bool descriptor_free() const;

    session_host& host_;
    std::string wanted_;
    std::string unix_path_;
    std::string address_;
    bool local_only_ = true;
    std::unique_ptr<door> door_;
    event pause_;
    bool closing_ = false;
};

}  // namespace gateway
