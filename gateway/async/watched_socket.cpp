#include "async/watched_socket.hpp"

#include "base/clock.hpp"

#include <boost/asio/error.hpp>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace gateway {

namespace {

error_code last_error()
{
    return {errno, boost::system::system_category()};
}

// Takes off the front what has been sent.
void cut(watched_socket::parts& p, std::size_t sent)
{
    for (auto& one : p) {
        auto n = std::min(sent, one.size());
        one += n;
        sent -= n;
    }
}

}  // namespace

watched_socket::watched_socket(asio::io_context& io, int fd)
    : member(ready_set::of(io), fd, awaited::no),
      fd_(fd),
      reader_(ready_set::of(io)),
      writer_(ready_set::of(io))
{
    if (!joined())
        close();
}

watched_socket::~watched_socket()
{
    close();
}

int watched_socket::connecting_to(const asio::ip::tcp::endpoint& to)
{
    int fd = ::socket(to.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, to.data(), socklen_t(to.size())) == 0 || errno == EINPROGRESS)
        return fd;
    auto why = errno;
    ::close(fd);
    errno = why;
    return -1;
}

awaitable<error_code> watched_socket::connected()
{
    error_code why = asio::error::operation_aborted;
    if (fd_ < 0)
        co_return why;
    co_await writer_.wait();
    if (fd_ < 0)
        co_return why;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    why.assign(error, boost::system::system_category());
    co_return why;
}

std::optional<watched_socket::result> watched_socket::read_now(asio::mutable_buffer to)
{
    if (fd_ < 0)
        return result(asio::error::operation_aborted, 0);
    if (more_at_once_)
        return std::nullopt;
    while (readable_) {
        auto n = ::recv(fd_, to.data(), to.size(), 0);
        if (n > 0) {
            // Less than there was room for was all there was; the next brings an edge of its own.
            more_at_once_ = std::size_t(n) == to.size();
            readable_ = more_at_once_ || ended_;
            clocks_held::something_came();
            return result(error_code(), std::size_t(n));
        }
        if (n == 0)
            return result(asio::error::eof, 0);
        if (errno == EAGAIN)
            readable_ = false;
        else if (errno != EINTR)
            return result(last_error(), 0);
    }
    return std::nullopt;
}

awaitable<watched_socket::result> watched_socket::read_some(asio::mutable_buffer to)
{
    auto got = read_now(to);
    while (!got) {
        co_await more();
        got = read_now(to);
    }
    co_return *got;
}

watched_socket::result watched_socket::write_some(parts& all)
{
    if (fd_ < 0)
        return result(asio::error::operation_aborted, 0);
    std::array<iovec, 2> both{};
    for (std::size_t i = 0; i < both.size(); ++i)
        both[i] = {const_cast<void*>(all[i].data()), all[i].size()};
    msghdr m{};
    m.msg_iov = both.data();
    m.msg_iovlen = all[1].size() == 0 ? 1 : 2;
    for (;;) {
        auto n = ::sendmsg(fd_, &m, MSG_NOSIGNAL);
        if (n >= 0) {
            cut(all, std::size_t(n));
            return result(error_code(), std::size_t(n));
        }
        if (errno == EAGAIN)
            return result(asio::error::would_block, 0);
        if (errno != EINTR)
            return result(last_error(), 0);
    }
}

awaitable<watched_socket::result> watched_socket::write(parts all)
{
    std::size_t sent = 0;
    const auto size = asio::buffer_size(all);
    while (sent < size) {
        auto [ec, n] = write_some(all);
        sent += n;
        if (ec == asio::error::would_block)
            co_await writer_.wait();
        else if (ec)
            co_return result(ec, sent);
    }
    co_return result(error_code(), sent);
}

void watched_socket::close()
{
    if (fd_ < 0)
        return;
    leave();
    ::close(std::exchange(fd_, -1));
    reader_.wake();
    writer_.wake();
}

void watched_socket::ready(std::uint32_t events)
{
    const bool over = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    ended_ = ended_ || over;
    if (over || (events & EPOLLIN) != 0) {
        readable_ = true;
        reader_.wake();
    }
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
        writer_.wake();
}

void watched_socket::abandoned()
{
    reader_.drop();
    writer_.drop();
}

}  // namespace gateway
