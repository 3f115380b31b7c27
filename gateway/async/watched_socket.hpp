// A connected stream socket in the ready set: each piece of a stream costs one read and one write.
#pragma once

#include "async/ready_set.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <array>
#include <optional>
#include <tuple>
#include <utility>

namespace gateway {

class watched_socket final : ready_set::member {
public:
    using result = std::tuple<error_code, std::size_t>;
    using parts = std::array<asio::const_buffer, 2>;

    // Takes it over: non-blocking, registered nowhere, and connected or about to be. It is not open
    // when the kernel watches no more of them.
    watched_socket(asio::io_context& io, int fd);
    ~watched_socket();

    // Begins to connect; negative with errno: that could not even begin.
    static int connecting_to(const asio::ip::tcp::endpoint& to);
    // Once, of one that is connecting: how that ended.
    awaitable<error_code> connected();

    // What is there now: at least one byte, or an error (asio::error::eof, operation_aborted after
    // close(), the system's). Nothing: wait for more(), and ask again. One reader at a time.
    std::optional<result> read_now(asio::mutable_buffer to);
    // To be awaited, when read_now() had nothing.
    auto more() { return reader_.wait(std::exchange(more_at_once_, false)); }
    // The same in one.
    awaitable<result> read_some(asio::mutable_buffer to);
    // What it takes now, and cuts it off `all`; would_block when that is nothing.
    result write_some(parts& all);
    // All of it. One writer at a time.
    awaitable<result> write(parts all);

    // At once, from anywhere: who reads or writes gets an error.
    void close();
    bool is_open() const { return fd_ >= 0; }
    // Nothing has come that was not read, as far as the ready set has been told.
    bool quiet() const { return is_open() && !readable_; }
    int native_handle() const { return fd_; }

private:
    void ready(std::uint32_t events) override;
    void abandoned() override;

    int fd_;
    bool readable_ = false;      // perhaps; not: a read would find nothing
    bool ended_ = false;         // the other side: no more edges, read on to the end
    bool more_at_once_ = false;  // but who sends without a pause must not keep all others waiting
    ready_set::place reader_;
    ready_set::place writer_;
};

}  // namespace gateway
