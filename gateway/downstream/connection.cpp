#include "downstream/connection.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace gateway {

namespace {

constexpr std::size_t first_read = 4 * 1024;
constexpr std::size_t listening = 64 * 1024;  // read ahead while a call is served
constexpr std::size_t at_no_cost = 8 * 1024;  // read ahead whatever memory is left

// Over TCP no end comes through a window that unread bytes keep closed: of a client whose end is
// waited for more is read ahead. What is still more is dropped when it has stood there for so long,
// and then every so often so much: hardly anybody sends it behind a call, and who does asks again
// (RFC 9112 §9.3.2).
constexpr std::size_t for_its_end = 1024 * 1024;
constexpr auto before_dropping = std::chrono::milliseconds(50);
constexpr auto between_drops = std::chrono::milliseconds(5);
constexpr std::size_t dropped_at_once = 256 * 1024;

// Where all connections read to; what came is copied to its own. Who has said nothing keeps
// nothing: of ten thousand idle connections each had 4 KB for what it might say.
std::array<char, listening> scratch;

bool only_not_now(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

}  // namespace

struct client_connection::state final : ready_set::member {
    state(asio::io_context& io, accepted_socket s, memory_budget& budget)
        : member(ready_set::of(io), s.native_handle(), awaited::yes),
          io(io),
          is_unix(s.is_unix()),
          address(s.address()),
          fd(s.take()),
          news(ready_set::of(io)),
          patience(io, [this] { news.wake(); }),
          room(io),
          kept(budget),
          kept_ahead(budget)
    {
    }
    ~state() { close(); }

    bool in_set() const { return joined(); }

    asio::io_context& io;
    bool is_unix;
    std::string address;
    int fd;
    std::string in;
    std::size_t in_begin = 0;
    std::size_t most_ahead = listening;
    bool readable = true;  // perhaps; not: a read would find nothing
    bool ended = false;    // no more edges will tell of more to read: read on to the end
    bool hung_up = false;  // closed in both directions
    bool woken = false;
    bool end_wanted = false;
    bool dropped = false;  // some of what came: what stands ahead is not followed by the rest

    std::string out;
    std::size_t out_begin = 0;
    bool shut_when_written = false;
    bool over_budget = false;
    std::uint64_t written = 0;

    ready_set::place news;  // bytes have come, or the client is leaving
    alarm patience;         // of who waits for them
    std::optional<alarm> dropping;
    event room;  // kept bytes have been taken, or nobody is there
    memory_budget::share kept;
    memory_budget::share kept_ahead;
    leaving left = leaving::no;
    instant left_at{};
    std::function<void(leaving)> told;

    std::size_t ahead() const { return in.size() - in_begin; }

    void ready(std::uint32_t events) override
    {
        if ((events & EPOLLERR) != 0) {
            leave(leaving::broken);  // one that had half-closed, too
            return;
        }
        const bool over = (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
        ended = ended || over;
        hung_up = hung_up || (events & EPOLLHUP) != 0;
        if (over || (events & EPOLLIN) != 0) {
            readable = true;
            read_on();
        }
        if ((events & EPOLLOUT) != 0)
            write_kept();
    }

    void abandoned() override { news.drop(); }

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
        news.wake();
        room.tell();
        if (told) {
            // Clients leave together, when their network does: the work of all of them is stopped
            // before the first is cleared away.
            look_for_more();
            auto tell = told;
            tell(how);
        }
    }

    // What is there, as far as there is room for it.
    void read_on()
    {
        while (readable && fd >= 0 && left == leaving::no) {
            auto most = room_ahead();
            if (most == 0) {
                count_ahead();
                end_behind_unread();
                look_behind();
                return;
            }
            auto n = ::recv(fd, scratch.data(), most, 0);
            const int why = n < 0 ? errno : 0;
            if (n > 0)
                in.append(scratch.data(), std::size_t(n));
            count_ahead();
            if (n > 0) {
                // Less than there was room for was all there was; the next brings an edge.
                readable = std::size_t(n) == most || ended;
                clocks_held::something_came();
                news.wake();
            } else if (only_not_now(why)) {
                readable = why == EINTR;
            } else {
                leave(n == 0 ? leaving::finished : leaving::broken);
            }
        }
    }

    // A client that has sent more than is read ahead can still leave: its end stands behind unread
    // bytes, where no read sees it. If it is not wanted it is told when they have been read: who
    // needs no permit is answered to the end.
    void end_behind_unread()
    {
        if (hung_up)
            leave(leaving::broken);
        else if (ended && end_wanted)
            leave(leaving::finished);
    }

    void look_behind()
    {
        if (!end_wanted || left != leaving::no || (dropping && dropping->is_set()))
            return;
        if (!dropping)
            dropping.emplace(io, [this] {
                if (!end_wanted || left != leaving::no || fd < 0)
                    return;
                if (readable && room_ahead() == 0)
                    drop_unread();
                read_on();
            });
        dropping->set(steady::now() + (dropped ? between_drops : before_dropping));
    }

    void drop_unread()
    {
        for (std::size_t seen = 0; seen < dropped_at_once;) {
            auto n = ::recv(fd, scratch.data(), scratch.size(), 0);
            if (n > 0) {
                dropped = true;
                seen += std::size_t(n);
            } else if (n < 0 && errno == EAGAIN) {
                readable = false;
                return;
            } else if (n == 0 || errno != EINTR) {
                leave(n == 0 ? leaving::finished : leaving::broken);
                return;
            }
        }
    }

    // How much may be read now; for more than a little there must be memory. It is held until
    // count_ahead().
    std::size_t room_ahead()
    {
        if (in_begin > in.size() / 2) {
            in.erase(0, in_begin);
            in_begin = 0;
        }
        auto allowed = end_wanted ? std::max(most_ahead, for_its_end) : most_ahead;
        if (ahead() >= allowed)
            return 0;
        auto piece = most_ahead > listening || ahead() > listening ? allowed / 4 : first_read;
        auto most = std::min(allowed - ahead(), piece);
        if (in.size() + most <= at_no_cost || kept_ahead.hold(in.size() + most))
            return std::min(most, scratch.size());
        return in.size() < at_no_cost ? at_no_cost - in.size() : 0;
    }

    void count_ahead() { kept_ahead.hold(in.size() > at_no_cost ? in.size() : 0); }

    // Behind what has been read, before anybody is told of an edge.
    void look_for_end()
    {
        char byte;
        auto n = ::recv(fd, &byte, 1, MSG_PEEK);
        if (n == 0)
            leave(leaving::finished);
        else if (n < 0 && !only_not_now(errno))
            leave(leaving::broken);
    }

    // What the socket takes of it now; nothing more of a client that turns out to be gone.
    std::size_t send_now(std::string_view bytes)
    {
        std::size_t sent = 0;
        while (sent < bytes.size()) {
            auto n = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
            if (n >= 0) {
                sent += std::size_t(n);
            } else if (errno != EINTR) {
                if (!only_not_now(errno))
                    leave(leaving::broken);
                break;
            }
        }
        return sent;
    }

    void write(std::string_view bytes)
    {
        if (left == leaving::broken || fd < 0)
            return;
        written += bytes.size();
        if (out.empty()) {
            bytes.remove_prefix(send_now(bytes));
            if (bytes.empty() || left == leaving::broken)
                return;
        }
        if (!kept.hold(out.size() - out_begin + bytes.size())) {
            over_budget = true;
            return;
        }
        out.append(bytes);
    }

    void write_kept()
    {
        if (out.empty() || fd < 0)
            return;
        out_begin += send_now(std::string_view(out).substr(out_begin));
        if (left == leaving::broken)
            return;
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
    }

    void shut_now()
    {
        if (fd >= 0)
            ::shutdown(fd, SHUT_WR);
    }

    void close()
    {
        told = nullptr;
        if (fd < 0)
            return;
        member::leave();
        ::close(std::exchange(fd, -1));
        news.wake();
        room.tell();
        std::string().swap(out);
        out_begin = 0;
        kept.hold(0);
    }
};

client_connection::client_connection(asio::io_context& io, accepted_socket s, memory_budget& budget)
    : state_(std::make_unique<state>(io, std::move(s), budget))
{
    if (!state_->in_set()) {  // the kernel watches no more of them
        state_->close();
        return;
    }
    if (!unix_socket()) {
        // What the kernel holds unsent for a slow reader is bounded too, so that client_buffer
        // means something: without this it swallows 4 MB before a write blocks.
        int lowat = 128 * 1024;
        ::setsockopt(state_->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
    }
    // A request is often there already; and behind it, when accepting was late, the end: who has
    // left by now must not be taken for somebody who waits.
    state_->read_on();
    if (state_->ahead() != 0 && state_->left == leaving::no)
        state_->look_for_end();
}

client_connection::~client_connection() = default;

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
}

// Else the clock runs for who waits. Who sends without a pause still has to wait for its turn: it
// must not keep all others waiting.
bool client_connection::waits_for_nothing(std::size_t have, instant deadline)
{
    auto enough = [&] { return state_->ahead() > have || state_->left != leaving::no || closed(); };
    if (enough() || std::exchange(state_->woken, false))
        return true;
    state_->read_on();  // there may be room again
    if (enough())
        return true;
    state_->patience.set(deadline);
    return false;
}

ready_set::place& client_connection::news()
{
    return state_->news;
}

void client_connection::wake()
{
    state_->woken = !state_->news.waits();
    state_->news.wake();
}

void client_connection::read_ahead(std::size_t most)
{
    state_->most_ahead = most;
    state_->read_on();
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
    state_->end_wanted = false;
    state_->dropping.reset();
}

void client_connection::want_end()
{
    state_->end_wanted = true;
    state_->read_on();
}

bool client_connection::lost_some() const
{
    return state_->dropped;
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

std::size_t client_connection::untaken() const
{
    int kernel = 0;
    if (closed() || ::ioctl(state_->fd, SIOCOUTQ, &kernel) != 0)
        kernel = 0;
    return backlog() + std::size_t(kernel);
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
    linger at_once{1, 0};
    if (!closed())
        ::setsockopt(state_->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    state_->close();
}

bool client_connection::closed() const
{
    return state_->fd < 0;
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
