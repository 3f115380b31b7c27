// A client's connection over a socket pair: what is read ahead, what is told of its leaving and
// when, and what it is sent.
#include "downstream/connection.hpp"

#include "catch.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;
using leaving = client_connection::leaving;

namespace {

struct ends {
    int client;
    int ours;
};

ends unix_pair()
{
    int both[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0);
    return {both[0], both[1]};
}

ends tcp_pair()
{
    int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    REQUIRE(::bind(listening, address, size) == 0);
    REQUIRE(::listen(listening, 1) == 0);
    REQUIRE(::getsockname(listening, address, &size) == 0);
    ends e{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -1};
    REQUIRE(::connect(e.client, address, size) == 0);
    e.ours = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    REQUIRE(e.ours >= 0);
    ::fcntl(e.client, F_SETFL, O_NONBLOCK);
    ::close(listening);
    return e;
}

struct client {
    client(asio::io_context& in, ends e) : io(in), fd(e.client), memory(64 << 20)
    {
        sockaddr_storage from{};
        from.ss_family = AF_UNIX;
        ours.emplace(io, accepted_socket(e.ours, from), memory);
        ours->on_leaving([this](leaving how) { told.push_back(how); });
    }
    ~client() { hang_up(); }

    std::size_t say(std::string_view text) const
    {
        auto n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        return n > 0 ? std::size_t(n) : 0;
    }
    void hang_up()
    {
        if (fd >= 0)
            ::close(std::exchange(fd, -1));
    }
    void reset()
    {
        linger at_once{1, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        hang_up();
    }
    std::string heard() const
    {
        std::string all;
        char some[4096];
        for (ssize_t n = 0; (n = ::recv(fd, some, sizeof some, MSG_DONTWAIT)) > 0;)
            all.append(some, std::size_t(n));
        return all;
    }

    asio::io_context& io;
    int fd;
    memory_budget memory;
    std::optional<client_connection> ours;
    std::vector<leaving> told;
};

// All that can happen without time passing.
void settle(asio::io_context& io)
{
    io.restart();
    while (io.poll() != 0) {
    }
}

// As time passes, in ten seconds at most; how much of it was taken.
std::size_t say_all(client& c, std::string_view text)
{
    std::size_t sent = 0;
    for (auto since = steady::now(); sent < text.size() && steady::now() - since < 10s;) {
        sent += c.say(text.substr(sent));
        c.io.restart();
        c.io.run_for(1ms);
    }
    return sent;
}

using told_list = std::vector<leaving>;

}  // namespace

TEST_CASE("what comes is read ahead and wakes who waits for more, and the end is told once")
{
    asio::io_context io(1);
    client c(io, unix_pair());
    std::vector<std::string> seen;
    auto reads = [&]() -> awaitable<void> {
        while (c.ours->left() == leaving::no) {
            co_await c.ours->more_than(0, instant::max());
            seen.emplace_back(c.ours->ahead());
            c.ours->consume(c.ours->ahead().size());
        }
    };
    asio::co_spawn(io, reads(), asio::detached);
    settle(io);
    CHECK(seen.empty());
    c.say("one");
    settle(io);
    c.say("two");
    settle(io);
    CHECK(seen == std::vector<std::string>{"one", "two"});
    c.hang_up();
    settle(io);
    CHECK(c.told == told_list{leaving::finished});
}

TEST_CASE("a client that leaves behind more than is read ahead of it is noticed at once, if wanted")
{
    asio::io_context io(1);
    client c(io, unix_pair());
    c.ours->want_end();
    const std::string much(16 << 10, 'x');
    std::size_t sent = 0;
    while (sent < (4 << 20)) {
        auto n = c.say(much);
        settle(io);
        if (n == 0)
            break;
        sent += n;
    }
    REQUIRE(sent > c.ours->ahead().size());
    CHECK(c.told.empty());
    c.hang_up();
    settle(io);
    CHECK(c.told.size() == 1);
}

TEST_CASE(
    "a client that leaves behind more than its kernel may send is noticed when its end is wanted")
{
    asio::io_context io(1);
    client c(io, tcp_pair());
    c.ours->want_end();
    const std::string much(16 << 20, 'x');
    CHECK(say_all(c, much) == much.size());
    CHECK(c.ours->lost_some());
    CHECK(c.ours->ahead().size() <= (1 << 20));
    CHECK(c.told.empty());
    c.hang_up();
    io.restart();
    io.run_for(100ms);
    CHECK(c.told == told_list{leaving::finished});
}

TEST_CASE("what is sent behind a call is kept up to a megabyte, and is not read on after it")
{
    asio::io_context io(1);
    client c(io, tcp_pair());
    c.ours->want_end();
    const std::string much(200 << 10, 'x');
    say_all(c, much);
    io.restart();
    io.run_for(80ms);
    CHECK(c.ours->ahead().size() == much.size());
    CHECK(!c.ours->lost_some());
    c.ours->on_leaving(nullptr);
    c.say(much);
    io.restart();
    io.run_for(80ms);
    CHECK(c.ours->ahead().size() == much.size());
}

TEST_CASE("the end behind a body that is longer than what is read ahead is told behind the body")
{
    asio::io_context io(1);
    client c(io, unix_pair());
    const std::string piece(16 << 10, 'b');
    c.ours->read_ahead(256 << 10);
    std::size_t sent = 0, got = 0;
    auto takes = [&]() -> awaitable<void> {
        for (;;) {
            co_await c.ours->more_than(0, instant::max());
            if (c.ours->ahead().empty())
                break;
            got += std::min<std::size_t>(c.ours->ahead().size(), 1000);
            c.ours->consume(std::min<std::size_t>(c.ours->ahead().size(), 1000));
            if (got == sent)
                break;
        }
    };
    for (int i = 0; i < 64; ++i) {
        sent += c.say(piece);
        settle(io);
    }
    REQUIRE(sent > (300 << 10));
    ::shutdown(c.fd, SHUT_WR);
    settle(io);
    CHECK(c.told.empty());
    asio::co_spawn(io, takes(), asio::detached);
    settle(io);
    CHECK(got == sent);
    CHECK(c.told == told_list{leaving::finished});
}

TEST_CASE("a client that half-closes and then resets is told of twice, without a write to it")
{
    asio::io_context io(1);
    client c(io, tcp_pair());
    ::shutdown(c.fd, SHUT_WR);
    settle(io);
    CHECK(c.told == told_list{leaving::finished});
    c.reset();
    settle(io);
    CHECK(c.told == told_list{leaving::finished, leaving::broken});
}

TEST_CASE("all who leave together are noticed before anything is done about the first")
{
    asio::io_context io(1);
    std::vector<std::unique_ptr<client>> all;
    for (int i = 0; i < 200; ++i)
        all.push_back(std::make_unique<client>(io, unix_pair()));
    auto noticed = [&] {
        return std::count_if(all.begin(), all.end(), [](auto& c) { return !c->told.empty(); });
    };
    std::vector<std::ptrdiff_t> noticed_when_resumed;
    auto waits = [&](client& c) -> awaitable<void> {
        co_await c.ours->more_than(0, instant::max());
        noticed_when_resumed.push_back(noticed());
    };
    for (auto& c : all)
        asio::co_spawn(io, waits(*c), asio::detached);
    settle(io);
    for (auto& c : all)
        c->hang_up();
    settle(io);
    REQUIRE(noticed_when_resumed.size() == all.size());
    CHECK(noticed_when_resumed.front() == std::ptrdiff_t(all.size()));
}

TEST_CASE("one who leaves while another is cleared away is noticed before the next is")
{
    asio::io_context io(1);
    client first(io, unix_pair()), second(io, unix_pair()), late(io, unix_pair());
    bool late_noticed = false;
    auto clears = [&](client& c, bool hang_up) -> awaitable<void> {
        co_await c.ours->more_than(0, instant::max());
        if (hang_up)
            late.hang_up();
        else
            late_noticed = !late.told.empty();
    };
    asio::co_spawn(io, clears(first, true), asio::detached);
    asio::co_spawn(io, clears(second, false), asio::detached);
    settle(io);
    first.hang_up();
    second.hang_up();
    settle(io);
    CHECK(late_noticed);
}

TEST_CASE("what a client does not take is kept and sent as it does, whole and in order")
{
    asio::io_context io(1);
    for (auto pair : {unix_pair, tcp_pair}) {
        client c(io, pair());
        std::string what, heard;
        for (int i = 0; i < 2'000'000; ++i)
            what += std::to_string(i);
        c.ours->write(what);
        CHECK(c.ours->backlog() != 0);
        c.ours->write("the end");
        for (int n = 0; n < 100'000 && heard.size() < what.size() + 7; ++n) {
            settle(io);
            heard += c.heard();
        }
        CHECK(heard == what + "the end");
        CHECK(c.ours->backlog() == 0);
    }
}

TEST_CASE("close() wakes who waits for more, and the loop ends")
{
    asio::io_context io(1);
    client c(io, unix_pair());
    bool over = false;
    auto waits = [&]() -> awaitable<void> {
        co_await c.ours->more_than(0, steady::now() + std::chrono::hours(1));
        over = true;
    };
    asio::co_spawn(io, waits(), asio::detached);
    settle(io);
    CHECK(!over);
    CHECK(!io.stopped());
    c.ours->close();
    settle(io);
    CHECK(over);
    c.ours.reset();
    settle(io);
    CHECK(io.stopped());
}
