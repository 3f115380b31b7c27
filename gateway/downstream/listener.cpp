#include "downstream/listener.hpp"

#include "base/log.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace gateway {

using namespace std::chrono_literals;

namespace {

asio::generic::stream_protocol::endpoint generic(const void* address, std::size_t size)
{
    return {address, size};
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

listener::listener(session_host& host, std::string address)
    : host_(host), wanted_(std::move(address)), acceptor_(host.io), pause_(host.io)
{
    auto fail = [&](const std::string& why) {
        throw std::runtime_error("cannot listen on " + wanted_ + ": " + why);
    };
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
        asio::ip::tcp::endpoint e;
        e.resize(where.size());
        std::memcpy(e.data(), where.data(), where.size());
        local_only_ = e.address().is_loopback();
    }
    error_code ec;
    acceptor_.open(where.protocol(), ec);
    if (!ec && unix_path_.empty())
        acceptor_.set_option(asio::socket_base::reuse_address(true), ec);
    if (!ec)
        acceptor_.bind(where, ec);
    if (!ec)
        acceptor_.listen(4096, ec);
    if (ec)
        fail(ec.message());
    if (!unix_path_.empty())
        ::chmod(unix_path_.c_str(), 0666);  // the directory's rights say who may reach it
}

listener::~listener()
{
    close();
}

std::string listener::address() const
{
    if (!unix_path_.empty())
        return wanted_;
    error_code ec;
    auto local = acceptor_.local_endpoint(ec);
    asio::ip::tcp::endpoint e;
    e.resize(local.size());
    std::memcpy(e.data(), local.data(), local.size());
    auto text = e.address().to_string();
    return (e.address().is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(e.port());
}

std::string listener::port() const
{
    auto whole = address();
    return unix_path_.empty() ? whole.substr(whole.rfind(':') + 1) : std::string();
}

void listener::close()
{
    if (std::exchange(closing_, true))
        return;
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
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

bool listener::descriptor_free()
{
    int next = ::fcntl(acceptor_.native_handle(), F_DUPFD_CLOEXEC, 0);
    if (next < 0)
        return false;
    ::close(next);
    return !kept_back(next);
}

awaitable<void> listener::run()
{
    auto warned_at = instant::min();
    while (!closing_) {
        auto accepted = co_await acceptor_.async_accept(as_result);
        auto& [ec, socket] = accepted;
        if (closing_)
            break;
        if (!ec) {
            bool last = kept_back(socket.native_handle());
            spawn(host_.io, "session", serve_client(host_, std::move(socket), local_only_));
            if (!last)
                continue;
            ec = asio::error::no_descriptors;
        }
        if (ec == asio::error::connection_aborted)
            continue;
        // No descriptor or no memory: what is open goes on.
        auto now = steady::now();
        if (warned_at == instant::min() || now - warned_at > 10s) {
            log::warn("not accepting connections for a moment",
                      {{"why", ec.message()}, {"open", host_.open.size()}});
            warned_at = now;
        }
        do {
            pause_.expires_after(100ms);
            co_await pause_.async_wait(as_result);
        } while (!closing_ && !descriptor_free());
    }
}

}  // namespace gateway
