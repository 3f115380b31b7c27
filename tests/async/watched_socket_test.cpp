// A socket in the ready set, over a socket pair: what is read and written, and how its waits end.
#include "async/watched_socket.hpp"

#include "catch.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace gateway;

namespace {

struct both_ends {
    both_ends()
    {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
        theirs = ends[0];
        ours.emplace(io, ends[1]);
        REQUIRE(ours->is_open());
    }
    ~both_ends() { hang_up(); }

    void say(std::string_view text) const
    {
        REQUIRE(::send(theirs, text.data(), text.size(), MSG_NOSIGNAL) == ssize_t(text.size()));
    }
    void hang_up()
    {
        if (theirs >= 0)
            ::close(std::exchange(theirs, -1));
    }
    // All that lies there for the other side.
    std::string heard() const
    {
        std::string all;
        char some[4096];
        for (;;) {
            auto n = ::recv(theirs, some, sizeof some, 0);
            if (n <= 0)
                return all;
            all.append(some, std::size_t(n));
        }
    }
    // Until nothing more happens by itself.
    void settle()
    {
        io.restart();
        while (io.poll() != 0) {
        }
    }

    asio::io_context io{1};
    int theirs = -1;
    std::optional<watched_socket> ours;
};

// Reads until an error, `room` at a time; each piece by itself.
awaitable<void> read_all(watched_socket& from, std::size_t room, std::vector<std::string>& pieces,
                         error_code& end)
{
    std::string buffer(room, '\0');
    for (;;) {
        auto [ec, n] = co_await from.read_some(asio::buffer(buffer));
        end = ec;
        if (ec)
            co_return;
        pieces.push_back(buffer.substr(0, n));
    }
}

awaitable<void> write_all(watched_socket& to, std::string what, error_code& end, bool& over)
{
    watched_socket::parts parts{
        asio::buffer(what.data(), what.size() / 2),
        asio::buffer(what.data() + what.size() / 2, what.size() - what.size() / 2)};
    auto [ec, n] = co_await to.write(parts);
    end = ec;
    over = true;
}

using list = std::vector<std::string>;

}  // namespace

TEST_CASE("each piece is read as it comes, and the end after the last")
{
    both_ends b;
    list pieces;
    error_code end;
    asio::co_spawn(b.io, read_all(*b.ours, 100, pieces, end), asio::detached);
    b.settle();
    CHECK(pieces.empty());
    b.say("one");
    b.settle();
    b.say("two");
    b.settle();
    CHECK(pieces == list{"one", "two"});
    CHECK(!end);
    // The end that stands behind the last piece brings no news of its own.
    b.say("three");
    b.hang_up();
    b.settle();
    CHECK(pieces == list{"one", "two", "three"});
    CHECK(end == asio::error::eof);
}

TEST_CASE("what came before anybody read is not lost, nor what fills the buffer to its last byte")
{
    both_ends b;
    b.say("12345678");
    b.settle();
    list pieces;
    error_code end;
    asio::co_spawn(b.io, read_all(*b.ours, 4, pieces, end), asio::detached);
    b.settle();
    CHECK(pieces == list{"1234", "5678"});
    b.say("9");
    b.settle();
    CHECK(pieces == list{"1234", "5678", "9"});
}

TEST_CASE("a sender without a pause does not keep others from their turn")
{
    both_ends b;
    const std::string much(64, 'x');
    for (int i = 0; i < 100; ++i)
        b.say(much);
    list pieces;
    error_code end;
    asio::co_spawn(b.io, read_all(*b.ours, 64, pieces, end), asio::detached);
    std::size_t read_when_asked = 0;
    asio::post(b.io, [&] { read_when_asked = pieces.size(); });
    b.settle();
    CHECK(pieces.size() == 100);
    CHECK(read_when_asked <= 2);
}

TEST_CASE("close() ends a read and a write that wait, and the loop")
{
    both_ends b;
    list pieces;
    error_code read_end, write_end;
    bool over = false;
    asio::co_spawn(b.io, read_all(*b.ours, 100, pieces, read_end), asio::detached);
    asio::co_spawn(b.io, write_all(*b.ours, std::string(4 << 20, 'y'), write_end, over),
                   asio::detached);
    b.settle();
    CHECK(!over);
    CHECK(!b.io.stopped());
    b.ours->close();
    b.ours->close();
    b.settle();
    CHECK(read_end == asio::error::operation_aborted);
    CHECK(write_end == asio::error::operation_aborted);
    CHECK(b.io.stopped());
    error_code after;
    asio::co_spawn(b.io, read_all(*b.ours, 100, pieces, after), asio::detached);
    b.settle();
    CHECK(after == asio::error::operation_aborted);
}

TEST_CASE("a write that is not taken at once goes on as it is taken, whole and in order")
{
    both_ends b;
    std::string what(3 << 20, '\0');
    std::minstd_rand random(7);
    for (auto& c : what)
        c = char('a' + random() % 26);
    error_code end = asio::error::fault;
    bool over = false;
    asio::co_spawn(b.io, write_all(*b.ours, what, end, over), asio::detached);
    std::string heard;
    for (int i = 0; i < 100'000 && !over; ++i) {
        b.settle();
        heard += b.heard();
    }
    heard += b.heard();
    CHECK(over);
    CHECK(!end);
    CHECK(heard == what);
}

TEST_CASE("a socket that is destroyed by the news of its end does not disturb the others")
{
    asio::io_context io(1);
    std::vector<std::unique_ptr<watched_socket>> all;
    std::vector<int> theirs;
    for (int i = 0; i < 50; ++i) {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
        theirs.push_back(ends[0]);
        all.push_back(std::make_unique<watched_socket>(io, ends[1]));
    }
    std::size_t ended = 0;
    // Each takes its neighbour with it, whose news may be in the same look.
    auto reads = [&](std::size_t which) -> awaitable<void> {
        char byte;
        auto got = co_await all[which]->read_some(asio::buffer(&byte, 1));
        ended += std::get<1>(got) == 0 ? 1 : 0;
        all[which ^ 1]->close();
    };
    for (std::size_t i = 0; i < all.size(); ++i)
        asio::co_spawn(io, reads(i), asio::detached);
    io.poll();
    CHECK(ended == 0);
    for (int fd : theirs)
        ::close(fd);
    io.run();
    CHECK(ended == all.size());
}

TEST_CASE("a loop that is destroyed takes with it who waits there")
{
    auto alive = std::make_shared<int>(0);
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    {
        asio::io_context io(1);
        auto reads = [](asio::io_context& in, int fd,
                        std::shared_ptr<int> held) -> awaitable<void> {
            watched_socket s(in, fd);
            char byte;
            auto got = co_await s.read_some(asio::buffer(&byte, 1));
            *held = 1 + int(std::get<1>(got));
        };
        asio::co_spawn(io, reads(io, ends[1], alive), asio::detached);
        io.poll();
        CHECK(alive.use_count() > 1);
    }
    CHECK(alive.use_count() == 1);
    CHECK(*alive == 0);
    char byte;
    CHECK(::recv(ends[0], &byte, 1, 0) == 0);  // it was closed
    ::close(ends[0]);
}

TEST_CASE("sockets that come and go in any order are each told of what is theirs")
{
    std::minstd_rand random(20261127);
    for (int round = 0; round < 20; ++round) {
        asio::io_context io(1);
        struct line {
            int theirs;
            std::unique_ptr<watched_socket> ours;
            std::string said;
            list pieces;
            error_code end;
        };
        std::vector<std::unique_ptr<line>> lines;
        for (int step = 0; step < 200; ++step) {
            auto what = random() % 4;
            if (what == 0 || lines.empty()) {
                int ends[2];
                REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
                auto& l = *lines.emplace_back(std::make_unique<line>());
                l.theirs = ends[0];
                l.ours = std::make_unique<watched_socket>(io, ends[1]);
                asio::co_spawn(io, read_all(*l.ours, 1 + random() % 40, l.pieces, l.end),
                               asio::detached);
            } else {
                auto& l = *lines[random() % lines.size()];
                if (what == 1 && l.theirs >= 0) {
                    std::string text(1 + random() % 60, char('a' + random() % 26));
                    if (l.ours->is_open() &&
                        ::send(l.theirs, text.data(), text.size(), MSG_NOSIGNAL) > 0)
                        l.said += text;
                } else if (what == 2 && l.theirs >= 0 && random() % 3 == 0) {
                    ::close(std::exchange(l.theirs, -1));
                } else if (what == 3 && random() % 8 == 0) {
                    while (io.poll() != 0) {
                    }
                    l.ours->close();
                }
            }
            if (random() % 2 == 0)
                io.poll_one();
            io.restart();
        }
        while (io.poll() != 0) {
        }
        for (auto& l : lines) {
            std::string heard;
            for (const auto& p : l->pieces)
                heard += p;
            CHECK(heard == l->said);
            CHECK((l->end == asio::error::eof || !l->ours->is_open() || l->theirs >= 0));
            if (l->theirs >= 0)
                ::close(l->theirs);
            l->ours->close();
        }
        io.restart();
        io.run();
    }
}
