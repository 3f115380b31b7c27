#include "upstream/address.hpp"

#include "async/event.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include <netdb.h>

#include <cstdlib>
#include <mutex>
#include <system_error>
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

// One lookup, as those who wait for it and the loop's end of its thread know it.
struct resolver::lookup {
    std::vector<event*> waiting;
    endpoints answer;
    bool over = false;
};

// What the threads may still touch when the resolver is gone.
struct resolver::shared {
    std::mutex mutex;
    asio::io_context* io;  // null once the resolver is gone; the rest is the loop's own
    std::map<std::string, std::shared_ptr<lookup>> running;  // by host and port
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

resolver::endpoints ask_the_system(const std::string& host, const std::string& port)
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

std::shared_ptr<resolver::lookup> resolver::look_up(const std::string& host,
                                                    const std::string& port)
{
    auto name = host + ' ' + port;
    auto& running = shared_->running[name];
    if (running)
        return running;
    auto started = running = std::make_shared<lookup>();
    auto work = [keep = shared_, name, host, port] {
        auto answer = ask_the_system(host, port);
        std::lock_guard lock(keep->mutex);
        if (keep->io == nullptr)
            return;
        asio::post(*keep->io, [keep, name, answer = std::move(answer)]() mutable {
            auto over = keep->running.extract(name);
            if (over.empty())
                return;
            over.mapped()->answer = std::move(answer);
            over.mapped()->over = true;
            for (auto* waiting : over.mapped()->waiting)
                waiting->tell();
        });
    };
    try {
        std::thread(std::move(work)).detach();
    } catch (const std::system_error&) {  // no thread to be had: no answer, this time
        started->over = true;
        shared_->running.erase(name);
    }
    return started;
}

awaitable<resolver::endpoints> resolver::resolve(std::string host, std::string port,
                                                 instant deadline, stop& s)
{
    error_code ec;
    auto numeric = asio::ip::make_address(host, ec);
    if (!ec) {
        tcp::endpoint there(numeric, static_cast<unsigned short>(std::atoi(port.c_str())));
        endpoints answer(1, there);
        co_return answer;
    }

    auto asked = look_up(host, port);
    event over(io_);
    asked->waiting.push_back(&over);
    stop::hook on_stop(s, [&over] { over.tell(); });
    while (!asked->over && !s.requested() && steady::now() < deadline)
        co_await over.wait_until(deadline);
    std::erase(asked->waiting, &over);
    co_return asked->answer;
}

}  // namespace gateway
