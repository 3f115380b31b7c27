// A client's socket, plain or TLS, as the connection needs it.
#pragma once

#include <boost/asio/ssl/stream.hpp>
#include <functional>
#include <memory>
#include <string_view>

#include "bench/sim/asio.hpp"

namespace sim {

class wire {
public:
    using done = std::function<void(error_code, std::size_t)>;

    // `tls` may be null: plain.
    wire(tcp::socket socket, asio::ssl::context* tls);

    void handshake(std::function<void(error_code)> done);
    void read_some(asio::mutable_buffer into, done done);
    // What the kernel takes now; would_block counts as none. TLS takes nothing here.
    std::size_t write_now(std::string_view bytes, error_code& ec);
    void write(asio::const_buffer bytes, done done);

    void shut_down_send();
    void close();
    void reset();
    bool open() const { return socket_.is_open(); }
    void send_buffer(int bytes);

private:
    tcp::socket socket_;
    std::unique_ptr<asio::ssl::stream<tcp::socket&>> tls_;
};

}  // namespace sim
