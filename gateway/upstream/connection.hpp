// One connection to an upstream, plain or TLS, and the buffer its answers are read into.
#pragma once

#include "async/watched_socket.hpp"
#include "base/clock.hpp"
#include "wire/chunk_frame.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gateway {

class upstream_connection {
public:
    using result = watched_socket::result;
    using parts = watched_socket::parts;

    // Counts itself in `open`, for metrics.
    upstream_connection(asio::io_context& io, std::size_t& open);
    ~upstream_connection();
    upstream_connection(const upstream_connection&) = delete;
    upstream_connection& operator=(const upstream_connection&) = delete;

    // Connects to the first address that answers, then shakes hands when `tls` is given; `host` is
    // checked against the certificate. The caller bounds the time by close().
    awaitable<error_code> open(const std::vector<asio::ip::tcp::endpoint>& to,
                               asio::ssl::context* tls, const std::string& host);

    // Reads what is there, once something is, at most the room of the buffer, behind what `keep`
    // bytes already stand in it. The bytes stand at data() + keep.
    awaitable<result> read(std::size_t keep = 0);
    // The same without a coroutine's frame for each piece, where it can be had (not with TLS): what
    // is there now. Nothing: wait for more(), and ask again.
    std::optional<result> read_now(std::size_t keep = 0)
    {
        return plain_ ? plain_->read_now(room_behind(keep)) : std::nullopt;
    }
    bool can_tell_of_more() const { return plain_.has_value(); }
    auto more() { return plain_->more(); }
    // Sends what the socket takes at once, as it does most requests, and cuts it off the parts.
    // True when nothing is left to be sent, or nothing more can be.
    bool write_now(parts& all);
    // Sends all of it.
    awaitable<result> write(parts all);
    awaitable<result> write(std::string_view all);

    // A stream follows, of many small pieces: not each need be acknowledged at once.
    void expect_stream();

    // The buffer: room for a frame's head before it and its end behind it.
    char* data() { return buffer_.get() + frame_headroom; }
    static constexpr std::size_t capacity = 16 * 1024;

    // At once, from anywhere: whoever waits for this connection gets an error.
    void close();
    bool closed() const { return plain_ ? !plain_->is_open() : !socket_.is_open(); }

    // Nothing has come and nothing has ended while it was idle: it may carry another call.
    bool usable();

    bool used_before = false;  // it has carried a call: it may turn out stale
    instant idle_since{};

private:
    awaitable<error_code> open_plain(const std::vector<asio::ip::tcp::endpoint>& to);
    asio::mutable_buffer room_behind(std::size_t keep)
    {
        return asio::buffer(data() + keep, capacity - keep);
    }
    awaitable<result> read_tls(asio::mutable_buffer to);
    awaitable<result> write_tls(parts all);
    int native_handle();

    asio::io_context& io_;
    std::size_t& open_;
    asio::ip::tcp::socket socket_;  // under TLS
    std::optional<watched_socket> plain_;
    std::unique_ptr<asio::ssl::stream<asio::ip::tcp::socket&>> tls_;
    std::unique_ptr<char[]> buffer_;
};

}  // namespace gateway
