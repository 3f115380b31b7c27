#include "downstream/listener.hpp"

#include "base/log.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>

namespace gateway {

using namespace std::chrono_literals;

namespace {

constexpr int at_once = 64;  // accepted in a row

asio::generic::stream_protocol::endpoint generic(const void* address, std::size_t size)
{
    return {address, size};
}

asio::ip::tcp::endpoint tcp_endpoint(const asio::generic::stream_protocol::endpoint& from)
{
    asio::ip::tcp::endpoint e;
    e.resize(from.size());
    std::memcpy(e.data(), from.data(), from.size());
    return e;
}

std::string text_of(const asio::ip::tcp::endpoint& e)
{
    auto text = e.address().to_string();
    return (e.address().is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(e.port());
}

// A socket file that nobody listens on any more is in the way of nobody.
void remove_stale(const std::string& path)
{
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode))
        return;  // somebody's file: binding says that it is in the way
    asio::io_context io;
    asio::local::stream_protocol::socket probe(io);
    error_code ec;
    probe.connect(asio::local::stream_protocol::endpoint(path), ec);
    if (ec == asio::error::connection_refused)
        ::unlink(path.c_str());
}

}  // namespace

// In the ready set.
class listener::door final : ready_set::member {
public:
    door(asio::io_context& io, int fd)
        : member(ready_set::of(io), fd, awaited::no), fd_(fd), news_(ready_set::of(io))
    {
    }
    ~door() { close(); }

    bool open() const { return fd_ >= 0 && joined(); }
    int native_handle() const { return fd_; }
    // Returns when somebody may stand there, or it is closed.
    awaitable<void> somebody()
    {
        if (open())
            co_await news_.wait();
    }
    void close()
    {
        if (fd_ < 0)
            return;
        leave();
        ::close(std::exchange(fd_, -1));
        news_.wake();
    }

private:
    void ready(std::uint32_t) override { news_.wake(); }
    void abandoned() override { news_.drop(); }

    int fd_;
    ready_set::place news_;
};

listener::listener(session_host& host, std::string address)
    : host_(host), wanted_(std::move(address)), pause_(host.io)
{
    auto fail = [&](const std::string& why) {
        throw std::runtime_error("cannot listen on " + wanted_ + ": " + why);
    };
    using protocol = asio::generic::stream_protocol;
    protocol::endpoint where;
    if (wanted_.starts_with("unix:")) {
        unix_path_ = wanted_.substr(5);
        remove_stale(unix_path_);
        asio::local::stream_protocol::endpoint e(unix_path_);
        where = generic(e.data(), e.size());
    } else {
        auto colon = wanted_.rfind(':');
        auto name = wanted_.substr(0, colon);
        auto port = wanted_.substr(colon + 1);
        if (name.starts_with('['))
            name = name.substr(1, name.size() - 2);
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_PASSIVE;
        addrinfo* found = nullptr;
        auto failed =
            ::getaddrinfo(name.empty() ? nullptr : name.c_str(), port.c_str(), &hints, &found);
        if (failed != 0)
            fail(::gai_strerror(failed));
        where = generic(found->ai_addr, found->ai_addrlen);
        ::freeaddrinfo(found);
        local_only_ = tcp_endpoint(where).address().is_loopback();
    }
    asio::basic_socket_acceptor<protocol> acceptor(host.io);
    error_code ec;
    acceptor.open(where.protocol(), ec);
    if (!ec && unix_path_.empty())
        acceptor.set_option(asio::socket_base::reuse_address(true), ec);
    if (!ec && unix_path_.empty())  // holds for each that it accepts (Linux)
        acceptor.set_option(asio::ip::tcp::no_delay(true), ec);
    if (!ec)
        acceptor.bind(where, ec);
    if (!ec)
        acceptor.listen(4096, ec);
    if (!ec)
        acceptor.non_blocking(true, ec);
    if (ec)
        fail(ec.message());
    address_ = unix_path_.empty() ? text_of(tcp_endpoint(acceptor.local_endpoint())) : wanted_;
    door_ = std::make_unique<door>(host.io, acceptor.release());
    if (!door_->open())
        fail("the kernel watches no more sockets");
    if (!unix_path_.empty())
        ::chmod(unix_path_.c_str(), 0666);  // the directory's rights say who may reach it
}

listener::~listener()
{
    close();
}

std::string listener::port() const
{
    return unix_path_.empty() ? address_.substr(address_.rfind(':') + 1) : std::string();
}

void listener::close()
{
    if (std::exchange(closing_, true))
        return;
    door_->close();
    pause_.tell();
    if (!unix_path_.empty())
        ::unlink(unix_path_.c_str());
}

// The last descriptors are not for clients: those who are here need connections upstream, and an
// upstream that cannot be reached for want of one would look dead. The admin port may use them.
bool listener::kept_back(int descriptor) const
{
    constexpr rlim_t most = 64;
    rlimit now{};
    if (host_.calls == nullptr || ::getrlimit(RLIMIT_NOFILE, &now) != 0)
        return false;
    return rlim_t(descriptor) >= now.rlim_cur - std::min(most, now.rlim_cur / 4);
}

bool listener::descriptor_free() const
{
    int next = ::fcntl(door_->native_handle(), F_DUPFD_CLOEXEC, 0);
    if (next < 0)
        return false;
    ::close(next);
    return !kept_back(next);
}

// Who stands there now, as far as there are descriptors. would_block: they are all in.
error_code listener::accept_some()
{
    for (int n = 0; n < at_once && !closing_; ++n) {
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        int fd = ::accept4(door_->native_handle(), reinterpret_cast<sockaddr*>(&from), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
            continue;
        if (fd < 0)
            return {errno, boost::system::system_category()};
        clocks_held::something_came();
        bool last = kept_back(fd);
        accepted_socket socket(fd, from);
        try {
            spawn(host_.io, "session", serve_client(host_, std::move(socket), local_only_));
        } catch (const std::bad_alloc&) {
            return asio::error::no_memory;
        }
        if (last)
            return asio::error::no_descriptors;
    }
    return {};
}

awaitable<void> listener::run()
{
    auto warned_at = instant::min();
    while (!closing_) {
        auto ec = accept_some();
        if (closing_)
            break;
        if (!ec)  // others have their turn, too
            co_await asio::post(host_.io, asio::deferred);
        else if (ec == asio::error::would_block)
            co_await door_->somebody();
        if (!ec || ec == asio::error::would_block)
            continue;
        // No descriptor or no memory: what is open goes on.
        auto now = steady::now();
        if (warned_at == instant::min() || now - warned_at > 10s) {
            log::warn("not accepting connections for a moment",
                      {{"why", ec.message()}, {"open", host_.open.size()}});
            warned_at = now;
        }
        do {
            co_await pause_.wait_until(steady::now() + 100ms);
        } while (!closing_ && !descriptor_free());
    }
}

}  // namespace gateway
