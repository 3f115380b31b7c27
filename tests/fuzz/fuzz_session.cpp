// One client's connection, with whatever can happen to it in any order: bytes come, whole or cut,
// good or not; it reads or does not, half-closes, closes; time passes; the call it made is
// answered, in pieces, early, wrongly, or never; the gateway drains. The client sits at the other
// end of a socket pair, the exchange is played by the input, and the clock is ours.
//
// What must hold: nothing stays behind once the client has gone and time has passed; what it was
// sent is a row of answers in order; one that was cut never looks complete.
#include "answers_read.hpp"
#include "base/log.hpp"
#include "downstream/session.hpp"
#include "played_exchange.hpp"
#include "require.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::int64_t begin_ns = 1'000'000'000'000;
std::int64_t fake_ns = begin_ns;

}  // namespace

// The steady clock of everything in this program.
extern "C" int clock_gettime(clockid_t which, timespec* now) noexcept
{
    if (which != CLOCK_MONOTONIC)
        return static_cast<int>(::syscall(SYS_clock_gettime, which, now));
    now->tv_sec = static_cast<time_t>(fake_ns / 1'000'000'000);
    now->tv_nsec = static_cast<long>(fake_ns % 1'000'000'000);
    return 0;
}

using namespace gateway;

namespace {

class script {
public:
    script(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

    bool over() const { return at_ == size_; }
    std::uint8_t next() { return over() ? 0 : data_[at_++]; }
    std::string_view bytes(std::size_t n)
    {
        n = std::min(n, size_ - at_);
        auto* from = reinterpret_cast<const char*>(data_) + at_;
        at_ += n;
        return {from, n};
    }

private:
    const std::uint8_t* data_;
    std::size_t size_;
    std::size_t at_ = 0;
};

constexpr std::string_view body = R"({"model":"m","prompt":"x"})";

const std::vector<std::string>& requests()
{
    static const auto all = [] {
        auto post = [](const std::string& target, const std::string& fields,
                       const std::string& version = "1.1") {
            return "POST " + target + " HTTP/" + version + "\r\nHost: localhost\r\n" + fields +
                   "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                   std::string(body);
        };
        const std::string get = " HTTP/1.1\r\nHost: localhost\r\n\r\n";
        const std::string chunks =
            "POST /api/create HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
            "chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        return std::vector<std::string>{
            post("/api/generate", ""),
            post("/api/chat", "Accept: text/event-stream\r\n"),
            post("/v1/chat/completions", "X-Queue-Events: 1\r\n"),
            post("/v1/embeddings", ""),
            post("/api/generate", "", "1.0"),
            post("/api/generate", "Connection: close\r\n"),
            post("/api/show", "Expect: 100-continue\r\n"),
            "GET /api/tags" + get,
            "GET /gateway/queue" + get,
            "GET /gateway/events" + get,
            "OPTIONS /api/chat HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
            "Access-Control-Request-Method: POST\r\n\r\n",
            chunks,
            "GET / HTTP/9.9\r\n\r\n",
            "POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n",
            std::string(9000, 'x'),
            "\r\n",
        };
    }();
    return all;
}

// One context for some plays, each of which leaves it empty: to make one costs as much as a play.
// Time begins anew with each: millions of plays, an hour each, are more than a clock can hold.
asio::io_context& a_context()
{
    static std::unique_ptr<asio::io_context> now;
    static int plays = 0;
    if (plays++ % 64 == 0) {
        now.reset();
        fake_ns = begin_ns;
        now = std::make_unique<asio::io_context>(1);
    }
    return *now;
}

class play {
public:
    play() : io_(a_context()), memory_(1u << 20), host_(io_, memory_), calls_(io_)
    {
        auto settings = std::make_shared<config>();
        settings->management = "allow";
        settings->limits.client_buffer = 16 * 1024;
        settings->limits.body = 64 * 1024;
        auto rules = std::make_shared<session_rules>();
        rules->settings = settings;
        host_.rules = [rules] { return rules; };
        host_.calls = &calls_;
        host_.own = &pages_;
        host_.via = "fuzzed";
        int ends[2];
        require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        client_ = ends[0];
        int small = 4096;
        ::setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        sockaddr_storage unnamed{};
        unnamed.ss_family = AF_UNIX;
        accepted_socket theirs(ends[1], unnamed);
        spawn(io_, "session", serve_client(host_, std::move(theirs), true));
    }

    ~play()
    {
        hang_up();
        host_.close_idle();
        for (int n = 0; n < 4 && (n == 0 || !at_rest()); ++n)
            pass(std::chrono::hours(1));
        require(at_rest());
    }

    void run(script& s)
    {
        settle();
        while (!s.over()) {
            step(s);
            settle();
        }
        read(1u << 24);
        check();
    }

private:
    bool at_rest() const
    {
        return host_.inside.inside() == 0 && host_.open.empty() && memory_.used() == 0;
    }

    void step(script& s)
    {
        auto what = s.next();
        switch (what % 10) {
            case 0: {
                const auto& all = requests();
                send(all[s.next() % all.size()]);
                break;
            }
            case 1: {
                const auto& all = requests();
                const auto& one = all[s.next() % all.size()];
                send(std::string_view(one).substr(0, s.next()));
                break;
            }
            case 2: send(s.bytes(s.next())); break;
            case 3: read(what < 100 ? 1u << 20 : s.next()); break;
            case 4:
                if (what >= 128)
                    pass(std::chrono::milliseconds(s.next()) * 600);
                else
                    pass(std::chrono::milliseconds(s.next()) * 10);
                break;
            case 5:
                if (what >= 200 && client_ >= 0)
                    ::shutdown(client_, SHUT_WR);
                else if (what >= 190)
                    hang_up();
                break;
            case 6:
                if (what >= 230)
                    host_.close_idle();
                break;
            default: {
                auto m = s.next();
                calls_.play({static_cast<turn::what>(m % 9), s.next()});
            }
        }
    }

    // Everything that can happen at this moment has.
    void settle()
    {
        do
            io_.restart();
        while (io_.poll() != 0);
    }

    void pass(duration d)
    {
        fake_ns += std::chrono::nanoseconds(d).count();
        // Timers are looked at when the earliest is due by the kernel's clock: this one always is.
        asio::steady_timer now(io_, instant::min());
        bool rung = false;
        now.async_wait([&](error_code) { rung = true; });
        while (!rung) {
            io_.restart();
            io_.poll();
        }
        settle();
    }

    void send(std::string_view bytes)
    {
        if (client_ < 0)
            return;
        auto n = ::send(client_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            sent_.append(bytes.substr(0, static_cast<std::size_t>(n)));
    }

    void read(std::size_t most)
    {
        static std::array<char, 1u << 16> room;
        while (client_ >= 0 && most != 0) {
            auto n = ::recv(client_, room.data(), std::min(most, room.size()), MSG_DONTWAIT);
            if (n <= 0)
                break;
            got_.append(room.data(), static_cast<std::size_t>(n));
            most -= static_cast<std::size_t>(n);
            settle();
        }
    }

    void hang_up()
    {
        if (client_ >= 0)
            ::close(client_);
        client_ = -1;
    }

    void check() const
    {
        if (sent_.find("HEAD") != sent_.npos)
            return;  // its answers have a length and no body
        auto answers = answers_in(got_);
        for (const auto& a : answers) {
            bool cut =
                std::find(calls_.cut().begin(), calls_.cut().end(), a.id) != calls_.cut().end();
            require(!cut || !a.complete || !a.told_by_framing);
        }
    }

    asio::io_context& io_;
    memory_budget memory_;
    session_host host_;
    played_exchange calls_;
    played_pages pages_;
    int client_ = -1;
    std::string sent_;
    std::string got_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const bool quiet = [] {
        log::open("off", "text");
        return true;
    }();
    require(quiet);
    if (size > 4096)
        return 0;
    script s(data, size);
    play p;
    p.run(s);
    return 0;
}
