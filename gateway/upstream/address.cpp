#include "upstream/address.hpp"

#include "async/event.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include <netdb.h>

#include <cstdlib>
#include <mutex>
#include <thread>

namespace gateway {

using asio::ip::tcp;

upstream_url parse_upstream_url(std::string_view url)
{
    upstream_url parts;
    parts.tls = url.starts_with("https://");
    url.remove_prefix(parts.tls ? 8 : 7);
    auto slash = url.find('/');
    auto authority = url.substr(0, slash);
    if (slash != std::string_view::npos)
        parts.prefix = url.substr(slash);
    while (parts.prefix.ends_with('/'))
        parts.prefix.pop_back();
    parts.authority = authority;
    auto bracket = authority.find(']');
    auto colon = authority.rfind(':');
    if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
        parts.port = authority.substr(colon + 1);
        authority = authority.substr(0, colon);
    } else {
        parts.port = parts.tls ? "443" : "80";
    }
    if (authority.starts_with('[') && authority.ends_with(']'))
        authority = authority.substr(1, authority.size() - 2);
    parts.host = authority;
    return parts;
}

struct resolver::shared {
    std::mutex mutex;
    asio::io_context* io;  // null once the resolver is gone
};

resolver::resolver(asio::io_context& io) : io_(io), shared_(std::make_shared<shared>())
{
    shared_->io = &io;
}

resolver::~resolver()
{
    std::lock_guard lock(shared_->mutex);
    shared_->io = nullptr;
}

namespace {

resolver::endpoints look_up(const std::string& host, const std::string& port)
{
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    resolver::endpoints answer;
    if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0)
        return answer;
    for (auto* a = found; a != nullptr; a = a->ai_next) {
        tcp::endpoint e;
        if (a->ai_addrlen > e.capacity())
            continue;
        e.resize(a->ai_addrlen);
        std::memcpy(e.data(), a->ai_addr, a->ai_addrlen);
        answer.push_back(e);
    }
    ::freeaddrinfo(found);
    return answer;
}

}  // namespace

awaitable<resolver::endpoints> resolver::resolve(std::string host, std::string port,
                                                 instant deadline)
{
    error_code ec;
    auto numeric = asio::ip::make_address(host, ec);
    if (!ec) {
        tcp::endpoint there(numeric, static_cast<unsigned short>(std::atoi(port.c_str())));
        endpoints answer(1, there);
        co_return answer;
    }

    // Shared by this coroutine and the loop's end of the thread; the thread itself only posts.
    struct lookup {
        explicit lookup(asio::io_context& io) : answered(io) {}
        event answered;
        endpoints answer;
    };
    auto mine = std::make_shared<lookup>(io_);
    std::thread([keep = shared_, mine = std::weak_ptr<lookup>(mine), host = std::move(host),
                 port = std::move(port)] {
        auto answer = look_up(host, port);
        std::lock_guard lock(keep->mutex);
        if (keep->io == nullptr)
            return;
        asio::post(*keep->io, [mine, answer = std::move(answer)]() mutable {
            if (auto l = mine.lock()) {
                l->answer = std::move(answer);
                l->answered.tell();
            }
        });
    }).detach();
    co_await mine->answered.wait_until(deadline);
    co_return std::move(mine->answer);
}

}  // namespace gateway
