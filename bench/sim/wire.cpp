#include "bench/sim/wire.hpp"

#include <boost/asio/write.hpp>

namespace sim {

wire::wire(tcp::socket socket, asio::ssl::context* tls) : socket_(std::move(socket))
{
    error_code ec;
    socket_.set_option(tcp::no_delay(true), ec);
    socket_.non_blocking(true, ec);
    if (tls != nullptr)
        tls_ = std::make_unique<asio::ssl::stream<tcp::socket&>>(socket_, *tls);
}

void wire::handshake(std::function<void(error_code)> done)
{
    if (tls_)
        tls_->async_handshake(asio::ssl::stream_base::server, std::move(done));
    else
        done({});
}

void wire::read_some(asio::mutable_buffer into, done done)
{
    if (tls_)
        tls_->async_read_some(into, std::move(done));
    else
        socket_.async_read_some(into, std::move(done));
}

std::size_t wire::write_now(std::string_view bytes, error_code& ec)
{
    if (tls_)
        return 0;
    auto n = socket_.write_some(asio::buffer(bytes.data(), bytes.size()), ec);
    if (ec == asio::error::would_block || ec == asio::error::try_again) {
        ec = {};
        return 0;
    }
    return n;
}

void wire::write(asio::const_buffer bytes, done done)
{
    if (tls_)
        asio::async_write(*tls_, bytes, std::move(done));
    else
        asio::async_write(socket_, bytes, std::move(done));
}

void wire::shut_down_send()
{
    error_code ec;
    socket_.shutdown(tcp::socket::shutdown_send, ec);
}

void wire::close()
{
    error_code ec;
    socket_.close(ec);
}

void wire::reset()
{
    error_code ec;
    socket_.set_option(asio::socket_base::linger(true, 0), ec);
    socket_.close(ec);
}

void wire::send_buffer(int bytes)
{
    error_code ec;
    socket_.set_option(asio::socket_base::send_buffer_size(bytes), ec);
}

}  // namespace sim
