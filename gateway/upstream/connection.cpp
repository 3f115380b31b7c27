#include "upstream/connection.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

namespace gateway {

using asio::ip::tcp;

upstream_connection::upstream_connection(asio::io_context& io, std::size_t& open)
    : io_(io),
      open_(open),
      socket_(io),
      buffer_(new char[frame_headroom + capacity + frame_tailroom])  // never read before written
{
    ++open_;
}

upstream_connection::~upstream_connection()
{
    --open_;
}

awaitable<error_code> upstream_connection::open(const std::vector<tcp::endpoint>& to,
                                                asio::ssl::context* tls, const std::string& host)
{
    if (tls == nullptr)
        co_return co_await open_plain(to);
    error_code why = asio::error::host_not_found;
    for (const auto& address : to) {
        error_code ignored;
        socket_.close(ignored);
        auto [ec] = co_await socket_.async_connect(address, as_result);
        why = ec;
        if (!ec || ec == asio::error::operation_aborted)
            break;
    }
    if (!why && !socket_.is_open())
        why = asio::error::operation_aborted;
    if (!why)
        socket_.set_option(tcp::no_delay(true), why);
    if (!why)
        socket_.non_blocking(true, why);
    if (why)
        co_return why;

    tls_ = std::make_unique<asio::ssl::stream<tcp::socket&>>(socket_, *tls);
    error_code numeric;
    asio::ip::make_address(host, numeric);
    if (numeric)  // server name indication is for names only
        SSL_set_tlsext_host_name(tls_->native_handle(), host.c_str());
    tls_->set_verify_callback(asio::ssl::host_name_verification(host), why);
    if (why)
        co_return why;
    auto [shaken] = co_await tls_->async_handshake(asio::ssl::stream_base::client, as_result);
    co_return shaken;
}

awaitable<error_code> upstream_connection::open_plain(const std::vector<tcp::endpoint>& to)
{
    error_code why = asio::error::host_not_found;
    for (const auto& address : to) {
        int fd = watched_socket::connecting_to(address);
        if (fd < 0) {
            why.assign(errno, boost::system::system_category());
            continue;
        }
        plain_.emplace(io_, fd);
        why = asio::error::no_buffer_space;
        if (!plain_->is_open())
            break;
        why = co_await plain_->connected();
        if (!why || why == asio::error::operation_aborted)
            break;
    }
    int on = 1;
    if (!why)
        ::setsockopt(native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    co_return why;
}

awaitable<upstream_connection::result> upstream_connection::read(std::size_t keep)
{
    auto room = room_behind(keep);
    return plain_ ? plain_->read_some(room) : read_tls(room);
}

bool upstream_connection::write_now(parts& all)
{
    if (!plain_)
        return false;
    auto [ec, sent] = plain_->write_some(all);
    bool broken = ec && ec != asio::error::would_block;
    return broken || asio::buffer_size(all) == 0;
}

awaitable<upstream_connection::result> upstream_connection::write(std::string_view all)
{
    return write(parts{asio::buffer(all)});
}

awaitable<upstream_connection::result> upstream_connection::write(parts all)
{
    return plain_ ? plain_->write(all) : write_tls(all);
}

awaitable<upstream_connection::result> upstream_connection::read_tls(asio::mutable_buffer to)
{
    co_return co_await tls_->async_read_some(to, as_result);
}

awaitable<upstream_connection::result> upstream_connection::write_tls(parts all)
{
    co_return co_await asio::async_write(*tls_, all, as_result);
}

void upstream_connection::expect_stream()
{
    // Until the kernel thinks otherwise; the next request on this connection carries the rest.
    int off = 0;
    ::setsockopt(native_handle(), IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
}

void upstream_connection::close()
{
    error_code ignored;
    socket_.close(ignored);
    if (plain_)
        plain_->close();
}

int upstream_connection::native_handle()
{
    return plain_ ? plain_->native_handle() : socket_.native_handle();
}

bool upstream_connection::usable()
{
    if (plain_)
        return plain_->quiet();
    if (closed())
        return false;
    char byte;
    auto n = ::recv(native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    // TLS: session tickets may wait unread after the handshake; anything else unasked is
    // suspicious, and with TLS it cannot be told apart, so such a connection is simply not kept.
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace gateway
