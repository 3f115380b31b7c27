// One client's connection, with whatever can happen to it in any order: bytes come, whole or cut,
// good or not; it reads or does not, half-closes, closes; time passes; the call it made is
// answered, in pieces, early, wrongly, or never; the gateway drains. The client sits at the other
// end of a socket pair, the exchange is played by the input, and the clock is ours.
//
// What must hold: nothing stays behind once the client has gone and time has passed; what it was
// sent is a row of answers in order; one that was cut never looks complete.
#include "base/log.hpp"
#include "base/text.hpp"
#include "downstream/session.hpp"
#include "wire/chunk_frame.hpp"

#include <boost/asio/local/stream_protocol.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::int64_t fake_ns = 1'000'000'000'000;

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

void require(bool holds, std::source_location here = std::source_location::current())
{
    if (holds)
        return;
    std::fprintf(stderr, "line %u does not hold\n", unsigned(here.line()));
    std::abort();
}

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

// What the exchange does next.
struct move {
    enum class what : std::uint8_t { tell, head, piece, flush, room, last, fail, fail_with, cut };
    what act;
    std::uint8_t wish;
};

// The exchange, played. One call at a time: a session is one coroutine.
class played_exchange : public service {
public:
    explicit played_exchange(asio::io_context& io) : io_(io), news_(io) {}

    void play(move m)
    {
        if (!busy_)
            return;
        moves_.push_back(m);
        news_.tell();
    }

    awaitable<void> serve(call& c, sink& to) override
    {
        require(!busy_);
        busy_ = true;
        moves_.clear();
        left_.reset();
        told_head_ = false;
        stop::hook on_end(to.ending(), [this] { news_.tell(); });
        auto up = std::make_shared<upload_state>(io_);
        if (c.streamed != nullptr)
            spawn(io_, "upload", take(c, up));
        else
            up->running = false;
        bool over = false;
        while (!over) {
            if (to.ending().requested()) {
                to.cut();
                cut_.push_back(c.id);
                break;
            }
            if (moves_.empty()) {
                co_await news_.wait_until();
                continue;
            }
            auto m = moves_.front();
            moves_.pop_front();
            if (m.act == move::what::room) {
                if (!needs_permit(c))
                    co_await to.room();
                continue;
            }
            over = make(m, c, to);
        }
        if (up->running) {
            c.streamed->abandon();
            while (up->running)
                co_await up->over.wait_until();
        }
        busy_ = false;
    }

    const std::vector<std::string>& cut() const { return cut_; }

private:
    struct upload_state {
        explicit upload_state(asio::io_context& io) : over(io) {}
        event over;
        bool running = true;
    };

    static bool needs_permit(const call& c)
    {
        return c.what == kind::generation || c.what == kind::embedding;
    }

    awaitable<void> take(call& c, std::shared_ptr<upload_state> up)
    {
        for (;;) {
            auto piece = co_await c.streamed->next();
            if (piece.empty())
                break;
        }
        up->running = false;
        up->over.tell();
    }

    // True when the call is over.
    bool make(move m, const call& c, sink& to)
    {
        static const fault broken{fault_code::upstream_failed, "it broke", whose::upstream,
                                  retry::no, 1};
        switch (m.act) {
            case move::what::tell: {
                queue_status s;
                s.position = m.wish;
                bool refresh = m.wish % 4 == 3 && (c.where == endpoint::chat_completions ||
                                                   c.where == endpoint::completions);
                if (c.told != telling::silent && !told_head_ && needs_permit(c))
                    to.tell(s, m.wish % 2 == 0, refresh);
                return false;
            }
            case move::what::head: return give_head(m.wish, c, to);
            case move::what::flush: to.flush(); return false;
            case move::what::piece:
            case move::what::last:
                if (!told_head_)
                    give_head(0, c, to);
                return give_piece(m, to);
            case move::what::fail:
                if (to.at().head_committed)
                    cut_.push_back(c.id);
                to.fail(broken, {}, {});
                return true;
            case move::what::fail_with:
                if (!to.at().head_committed || told_head_)
                    return false;
                cut_.push_back(c.id);
                to.fail_with(500, R"({"error":"no"})", {});
                return true;
            case move::what::cut:
                if (!to.at().head_committed)
                    return false;
                cut_.push_back(c.id);
                to.cut();
                return true;
            case move::what::room: break;
        }
        return false;
    }

    bool give_head(std::uint8_t wish, const call& c, sink& to)
    {
        if (told_head_)
            return false;
        told_head_ = true;
        answer_head h;
        h.status = to.at().head_committed || wish % 4 == 0 ? 200 : wish % 4 == 1 ? 404 : 200;
        h.content_type = c.framed == shape::one_piece ? "application/json" : "application/x-ndjson";
        h.fields = "Content-Type: " + h.content_type + "\r\nX-From: upstream\r\n";
        if (wish % 8 >= 4) {
            h.length = wish / 8 * 16;
            left_ = h.length;
        }
        to.head(h, {}, {});
        return h.length == 0 && give_piece({move::what::last, 0}, to);
    }

    bool give_piece(move m, sink& to)
    {
        std::size_t size = m.wish % 64;
        if (m.wish >= 250)
            size = 100'000;  // more than a client that does not read takes
        bool last = m.act == move::what::last;
        if (left_) {
            size = std::min<std::size_t>(size, *left_);
            if (last)
                size = *left_;
            *left_ -= size;
            last = *left_ == 0;
        }
        std::string room(frame_headroom + size + frame_tailroom, 'x');
        if (size != 0)
            room[frame_headroom + size - 1] = '\n';
        to.piece(room.data() + frame_headroom, size, last);
        return last;
    }

    asio::io_context& io_;
    event news_;
    std::deque<move> moves_;
    bool busy_ = false;
    bool told_head_ = false;
    std::optional<std::uint64_t> left_;
    std::vector<std::string> cut_;  // ids of calls whose answer had begun and was cut
};

class played_pages : public pages {
public:
    awaitable<void> answer(const page_request& r, responder& to) override
    {
        if (r.head.path != "/gateway/events") {
            to.json(200, "{}");
            co_return;
        }
        to.begin_events();
        for (int n = 0; n < 3; ++n) {
            to.event("queue", "{}");
            auto there = co_await to.pause(std::chrono::seconds(1));
            if (!there)
                co_return;
        }
        to.end();
    }
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

// One answer as a client reads it.
struct answer_read {
    std::string id;
    bool complete = false;
    bool told_by_framing = false;  // a cut shows in the bytes, not only in how the connection ends
};

std::string_view field_of(std::string_view head, std::string_view name)
{
    for (auto line : split(head, '\n')) {
        if (istarts_with(line, name))
            return trim(line.substr(name.size()));
    }
    return {};
}

// The chunks of `rest`, to the last; false when it does not come.
bool take_chunks(std::string_view& rest)
{
    for (;;) {
        auto line = rest.find("\r\n");
        if (line == rest.npos)
            return false;
        std::size_t size = 0;
        require(line != 0 && line <= 16);
        for (char c : rest.substr(0, line)) {
            require((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
            size = size * 16 + static_cast<std::size_t>(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        if (rest.size() < line + 2 + size + 2)
            return false;
        require(rest.substr(line + 2 + size, 2) == "\r\n");
        rest.remove_prefix(line + 2 + size + 2);
        if (size == 0)
            return true;
    }
}

std::vector<answer_read> answers_in(std::string_view rest)
{
    std::vector<answer_read> all;
    while (!rest.empty()) {
        auto end = rest.find("\r\n\r\n");
        if (end == rest.npos) {
            require(std::string_view("HTTP/1.").starts_with(rest.substr(0, 7)) ||
                    rest.starts_with("HTTP/1."));
            break;
        }
        auto head = rest.substr(0, end + 2);
        require(head.starts_with("HTTP/1.1 ") || head.starts_with("HTTP/1.0 "));
        rest.remove_prefix(end + 4);
        auto status = head.substr(9, 3);
        if (status == "100")
            continue;
        answer_read a;
        a.id = field_of(head, "X-Request-Id:");
        auto length = field_of(head, "Content-Length:");
        a.told_by_framing = true;
        if (status == "204") {
            a.complete = true;
        } else if (!field_of(head, "Transfer-Encoding:").empty()) {
            require(length.empty() && head.starts_with("HTTP/1.1"));
            a.complete = take_chunks(rest);
        } else if (!length.empty()) {
            auto size = parse_uint(length);
            require(size.has_value());
            a.complete = rest.size() >= *size;
            rest.remove_prefix(std::min<std::size_t>(rest.size(), *size));
        } else {
            a.told_by_framing = false;
            rest = {};
        }
        all.push_back(a);
        if (!a.complete)
            break;
    }
    return all;
}

class play {
public:
    play() : memory_(1u << 20), host_(io_, memory_), calls_(io_)
    {
        auto settings = std::make_shared<config>();
        settings->management = "allow";
        settings->limits.client_buffer = 64 * 1024;
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
        client_connection::socket theirs(io_, asio::generic::stream_protocol(AF_UNIX, 0), ends[1]);
        spawn(io_, "session", serve_client(host_, std::move(theirs), true));
    }

    ~play()
    {
        hang_up();
        host_.close_idle();
        for (int n = 0; n < 4; ++n)
            pass(std::chrono::hours(1));
        require(host_.inside.inside() == 0);
        require(host_.open.empty());
        require(memory_.used() == 0);
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
                calls_.play({static_cast<move::what>(m % 9), s.next()});
            }
        }
    }

    // Everything that can happen at this moment has.
    void settle()
    {
        for (int quiet = 0; quiet < 2;) {
            io_.restart();
            quiet = io_.poll() == 0 ? quiet + 1 : 0;
        }
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
        std::string room(std::min<std::size_t>(most, 1u << 16), '\0');
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

    asio::io_context io_{1};
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
