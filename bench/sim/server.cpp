#include "bench/sim/server.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl/context.hpp>
#include <csignal>
#include <future>
#include <thread>

#include "bench/sim/connection.hpp"
#include "bench/sim/routes.hpp"

namespace sim {

struct server::inside {
    explicit inside(settings s) : all(io, s), acceptor(io), again(io) {}

    asio::io_context io{1};
    world all;
    tcp::acceptor acceptor;
    tcp::endpoint where;
    asio::steady_timer again;
    asio::signal_set signals{io};
    std::unique_ptr<asio::ssl::context> tls;
    std::uint64_t next_connection = 0;
    std::thread thread;

    std::string listen()
    {
        error_code ec;
        acceptor.open(where.protocol(), ec);
        if (!ec)
            acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
        if (!ec)
            acceptor.bind(where, ec);
        if (!ec)
            acceptor.listen(4096, ec);
        if (ec)
            return ec.message();
        where = acceptor.local_endpoint(ec);
        return {};
    }

    void accept()
    {
        acceptor.async_accept([this](error_code ec, tcp::socket socket) {
            if (!acceptor.is_open())
                return;
            if (!ec) {
                auto one = std::make_shared<connection>(all, std::move(socket), tls.get(),
                                                        ++next_connection);
                asio::co_spawn(io, serve(one), asio::detached);
            }
            accept();
        });
    }

    void stop()
    {
        error_code ec;
        acceptor.close(ec);
        again.cancel();
        signals.cancel(ec);
        all.stop();
    }

    static awaitable<void> serve(std::shared_ptr<connection> one) { co_await one->serve(); }

    // Closes the listener, so that connections are refused, and opens it again.
    void refuse(duration howlong)
    {
        error_code ec;
        acceptor.close(ec);
        again.expires_after(howlong);
        again.async_wait([this](error_code stopped) {
            if (!stopped && listen().empty())
                accept();
        });
    }

    template <class F>
    auto ask(F f)
    {
        std::promise<decltype(f())> result;
        auto future = result.get_future();
        asio::post(io, [&] { result.set_value(f()); });
        return future.get();
    }
};

server::server(settings set) : in_(std::make_unique<inside>(std::move(set))) {}

server::~server()
{
    stop();
}

std::string server::open()
{
    auto& set = in_->all.set;
    for (auto& flag : set.faults)
        if (auto wrong = in_->all.faults.add(std::string_view(flag)); !wrong.empty())
            return "--fault " + flag + ": " + wrong;
    auto colon = set.listen.rfind(':');
    error_code ec;
    auto host = set.listen.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    auto address = asio::ip::make_address(host, ec);
    int port = colon == std::string::npos ? -1 : std::atoi(set.listen.c_str() + colon + 1);
    if (ec || port < 0 || port > 65535)
        return "not an address with a port: " + set.listen;
    in_->all.loopback = address.is_loopback();
    in_->where = {address, static_cast<unsigned short>(port)};
    if (!set.tls_cert.empty()) {
        in_->tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
        in_->tls->use_certificate_chain_file(set.tls_cert, ec);
        if (!ec)
            in_->tls->use_private_key_file(set.tls_key, asio::ssl::context::pem, ec);
        if (ec)
            return "certificate and key: " + ec.message();
    }
    in_->all.refuse = [this](duration howlong) { in_->refuse(howlong); };
    auto wrong = in_->listen();
    if (wrong.empty())
        in_->accept();
    else
        wrong = set.listen + ": " + wrong;
    return wrong;
}

unsigned short server::port() const
{
    return in_->where.port();
}

std::string server::url() const
{
    auto address = in_->where.address();
    auto host = address.is_v6() ? '[' + address.to_string() + ']' : address.to_string();
    return (in_->tls ? "https://" : "http://") + host + ':' + std::to_string(port());
}

void server::stop_on_signals()
{
    error_code ec;
    in_->signals.add(SIGINT, ec);
    in_->signals.add(SIGTERM, ec);
    in_->signals.async_wait([in = in_.get()](error_code cancelled, int) {
        if (!cancelled)
            in->stop();
    });
}

void server::run()
{
    in_->io.run();
}

std::string server::start()
{
    auto wrong = open();
    if (wrong.empty())
        in_->thread = std::thread([this] { run(); });
    return wrong;
}

void server::stop()
{
    asio::post(in_->io, [in = in_.get()] { in->stop(); });
    if (in_->thread.joinable())
        in_->thread.join();
}

json server::stats()
{
    return in_->ask([this] { return stats_now(in_->all); });
}

json server::requests()
{
    return in_->ask([this] { return in_->all.seen.requests(); });
}

void server::reset()
{
    in_->ask([this] {
        in_->all.seen.reset();
        return true;
    });
}

std::string server::fault(json f)
{
    return in_->ask([this, &f] { return set_fault(in_->all, f); });
}

void server::clear_faults()
{
    in_->ask([this] {
        in_->all.faults.clear("");
        return true;
    });
}

void server::restart(duration away)
{
    in_->ask([this, away] {
        in_->all.restart(away, nullptr);
        return true;
    });
}

void server::model(const std::string& flag)
{
    in_->ask([this, &flag] {
        auto parsed = parse_model(flag);
        if (parsed.error.empty())
            in_->all.models.put(std::move(parsed.model));
        return true;
    });
}

}  // namespace sim
