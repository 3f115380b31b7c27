// Accepts clients on one address until closed. Out of descriptors it stops accepting for a moment,
// not working.
#pragma once

#include "downstream/session.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

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
    std::string address() const;
    // "9435"; empty for a unix socket.
    std::string port() const;
    bool local_only() const { return local_only_; }

private:
    bool kept_back(int descriptor) const;
    bool descriptor_free();

    using protocol = asio::generic::stream_protocol;
    session_host& host_;
    std::string wanted_;
    std::string unix_path_;
    bool local_only_ = true;
    asio::basic_socket_acceptor<protocol> acceptor_;
    asio::steady_timer pause_;
    bool closing_ = false;
};

}  // namespace gateway
