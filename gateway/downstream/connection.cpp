#include "downstream/connection.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <vector>

namespace gateway {

namespace {

constexpr std::size_t first_read = 4 * 1024;
constexpr std::size_t listening = 64 * 1024;  // read ahead while a call is served
constexpr std::size_t at_no_cost = 8 * 1024;  // read ahead whatever memory is left
constexpr auto probe_every = std::chrono::milliseconds(50);

// Where all connections read to; what came is copied to its own. Who has said nothing keeps
// nothing: of ten thousand idle connections each had 4 KB for what it might say.
std::array<char, listening> scratch;

using socket_of = asio::generic::stream_protocol::socket;

bool is_unix(const socket_of& s)
{
    error_code ec;
    auto local = s.local_endpoint(ec);
    return !ec && local.protocol().family() == AF_UNIX;
}

// Empty for what has no IP address.
std::string address_of(const socket_of& s)
{
    error_code ec;
    auto remote = s.remote_endpoint(ec);
    if (ec || (remote.protocol().family() != AF_INET && remote.protocol().family() != AF_INET6))
        return {};
    asio::ip::tcp::endpoint e;
    e.resize(remote.size());
    std::memcpy(e.data(), remote.data(), remote.size());
    auto address = e.address();
    if (address.is_v6() && address.to_v6().is_v4_mapped())
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
    return address.to_string();
}

}  // namespace

struct client_connection::state : std::enable_shared_from_this<state> {
    state(asio::io_context& io, socket s, memory_budget& budget)
        : peer(std::move(s)),
          is_unix(gateway::is_unix(peer)),
          address(address_of(peer)),
          probing(io),
          news(io),
          room(io),
          kept(budget),
          kept_ahead(budget)
    {
    }

    socket peer;
    bool is_unix;
    std::string address;  // looked up once: each look is a system call
    std::string in;
    std::size_t in_begin = 0;
    std::size_t most_ahead = listening;
    bool reading = false;
    bool probing_now = false;
    asio::steady_timer probing;  // while reading is paused

    std::string out;
    std::size_t out_begin = 0;
    bool writing = false;
    bool shut_when_written = false;
    bool over_budget = false;
    std::uint64_t written = 0;

    event news;  // bytes have come, or the client is leaving
    event room;  // kept bytes have been taken, or nobody is there
    memory_budget::share kept;
    memory_budget::share kept_ahead;
    leaving left = leaving::no;
    instant left_at{};
    std::function<void(leaving)> told;

    std::size_t ahead() const { return in.size() - in_begin; }

    void leave(leaving how)
    {
        if (how <= left)
            return;
        if (left == leaving::no)
            left_at = steady::now();
        left = how;
        if (how == leaving::broken) {
            out.clear();
            out_begin = 0;
            kept.hold(0);
        }
        news.tell();
        room.tell();
        if (told) {
            auto tell = told;
            tell(how);
        }
    }

    void arm_read()
    {
        if (reading || !peer.is_open() || left != leaving::no)
            return;
        bool full = room_ahead() == 0;
        count_ahead();
        if (full) {
            probe();
            return;
        }
        reading = true;
        peer.async_wait(socket::wait_read, [self = shared_from_this()](error_code ec) {
            self->reading = false;
            if (ec || !self->peer.is_open())
                return;
            self->read_now();
        });
    }

    // How much may be read now; for more than a little there must be memory. It is held until
    // count_ahead().
    std::size_t room_ahead()
    {
        if (in_begin > in.size() / 2) {
            in.erase(0, in_begin);
            in_begin = 0;
        }
        if (ahead() >= most_ahead)
            return 0;
        auto most =
            std::min(most_ahead - ahead(), most_ahead > listening ? most_ahead / 4 : first_read);
        if (in.size() + most <= at_no_cost || kept_ahead.hold(in.size() + most))
            return std::min(most, scratch.size());
        return in.size() < at_no_cost ? at_no_cost - in.size() : 0;
    }

    void read_now()
    {
        error_code ec;
        auto n = peer.read_some(asio::buffer(scratch.data(), room_ahead()), ec);
        in.append(scratch.data(), n);
        count_ahead();
        if (n != 0)
            news.tell();
        if (ec && ec != asio::error::would_block) {
            leave(ec == asio::error::eof ? leaving::finished : leaving::broken);
            return;
        }
        arm_read();
    }

    void count_ahead() { kept_ahead.hold(in.size() > at_no_cost ? in.size() : 0); }

    void look_for_end()
    {
        char byte;
        auto n = ::recv(peer.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n == 0)
            leave(leaving::finished);
        else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            leave(leaving::broken);
    }

    // A client that has sent more than is read ahead can still leave: its FIN stands behind unread
    // bytes, where neither a read nor a peek sees it, but poll() does, of a unix socket too.
    void probe()
    {
        reading = true;
        probing_now = true;
        probing.expires_after(probe_every);
        probing.async_wait([self = shared_from_this()](error_code) {
            self->reading = false;
            self->probing_now = false;
            if (!self->peer.is_open())
                return;
            pollfd there{self->peer.native_handle(), POLLRDHUP, 0};
            if (::poll(&there, 1, 0) > 0) {
                if ((there.revents & (POLLERR | POLLHUP)) != 0)
                    self->leave(leaving::broken);
                else if ((there.revents & POLLRDHUP) != 0)
                    self->leave(leaving::finished);
            }
            self->arm_read();
        });
    }

    void write(std::string_view bytes)
    {
        if (left == leaving::broken || !peer.is_open())
            return;
        written += bytes.size();
        if (out.empty()) {
            error_code ec;
            auto n = peer.write_some(asio::buffer(bytes), ec);
            if (ec && ec != asio::error::would_block) {
                leave(leaving::broken);
                return;
            }
            bytes.remove_prefix(n);
            if (bytes.empty())
                return;
        }
        if (!kept.hold(out.size() - out_begin + bytes.size())) {
            over_budget = true;
            return;
        }
        out.append(bytes);
        arm_write();
    }

    void arm_write()
    {
        if (writing || out.empty())
            return;
        writing = true;
        peer.async_wait(socket::wait_write, [self = shared_from_this()](error_code ec) {
            self->writing = false;
            if (ec || !self->peer.is_open() || self->left == leaving::broken)
                return;
            self->write_kept();
        });
    }

    void write_kept()
    {
        error_code ec;
        auto n = peer.write_some(asio::buffer(out.data() + out_begin, out.size() - out_begin), ec);
        if (ec && ec != asio::error::would_block) {
            leave(leaving::broken);
            return;
        }
        out_begin += n;
        if (out_begin == out.size()) {
            std::string().swap(out);
            out_begin = 0;
            if (shut_when_written)
                shut_now();
        } else if (out_begin > (1u << 20) && out_begin > out.size() / 2) {
            out.erase(0, out_begin);
            out_begin = 0;
        }
        kept.hold(out.size() - out_begin);
        room.tell();
        arm_write();
    }

    void shut_now()
    {
        error_code ignored;
        peer.shutdown(socket::shutdown_send, ignored);
    }

    void close()
    {
        told = nullptr;
        error_code ignored;
        peer.close(ignored);
        probing.cancel();
        news.tell();
        room.tell();
        std::string().swap(out);
        out_begin = 0;
        kept.hold(0);
    }
};

client_connection::client_connection(asio::io_context& io, socket s, memory_budget& budget)
    : state_(std::make_shared<state>(io, std::move(s), budget))
{
    error_code ignored;
    state_->peer.non_blocking(true, ignored);
    if (!unix_socket()) {
        int on = 1;
        ::setsockopt(state_->peer.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        // What the kernel holds unsent for a slow reader is bounded too, so that client_buffer
        // means something: without this it swallows 4 MB before a write blocks.
        int lowat = 128 * 1024;
        ::setsockopt(state_->peer.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat,
                     sizeof lowat);
    }
    // A request is often there already; and behind it, when accepting was late, the end: who has
    // left by now must not be taken for somebody who waits.
    state_->read_now();
    if (state_->ahead() != 0 && state_->left == leaving::no)
        state_->look_for_end();
}

client_connection::~client_connection()
{
    state_->close();
}

std::string_view client_connection::ahead() const
{
    return std::string_view(state_->in).substr(state_->in_begin);
}

void client_connection::consume(std::size_t n)
{
    state_->in_begin += n;
    if (state_->in_begin == state_->in.size()) {
        // Given back, not kept: thousands of clients wait with nothing more to say.
        if (state_->in.capacity() > 1024)
            std::string().swap(state_->in);
        else
            state_->in.clear();
        state_->in_begin = 0;
        state_->count_ahead();
    }
    if (state_->probing_now)
        state_->probing.cancel();  // there is room again: read on at once
    state_->arm_read();
}

awaitable<void> client_connection::more_than(std::size_t have, instant deadline)
{
    if (state_->ahead() <= have && state_->left == leaving::no)
        co_await state_->news.wait_until(deadline);
}

void client_connection::wake()
{
    state_->news.tell();
}

void client_connection::read_ahead(std::size_t most)
{
    state_->most_ahead = most;
    state_->arm_read();
}

client_connection::leaving client_connection::left() const
{
    return state_->left;
}

instant client_connection::left_at() const
{
    return state_->left_at;
}

void client_connection::on_leaving(std::function<void(leaving)> f)
{
    state_->told = std::move(f);
}

void client_connection::write(std::string_view bytes)
{
    state_->write(bytes);
}

std::size_t client_connection::backlog() const
{
    return state_->out.size() - state_->out_begin;
}

bool client_connection::within_budget() const
{
    return !state_->over_budget;
}

awaitable<void> client_connection::taken_down_to(std::size_t bytes, instant deadline)
{
    while (backlog() > bytes && left() != leaving::broken && !closed() && steady::now() < deadline)
        co_await state_->room.wait_until(deadline);
}

std::uint64_t client_connection::written() const
{
    return state_->written;
}

void client_connection::shut()
{
    if (state_->out.empty())
        state_->shut_now();
    else
        state_->shut_when_written = true;
}

void client_connection::close()
{
    state_->close();
}

void client_connection::reset()
{
    error_code ignored;
    state_->peer.set_option(asio::socket_base::linger(true, 0), ignored);
    state_->close();
}

bool client_connection::closed() const
{
    return !state_->peer.is_open();
}

bool client_connection::unix_socket() const
{
    return state_->is_unix;
}

const std::string& client_connection::peer_address() const
{
    return state_->address;
}

}  // namespace gateway
