#include "top/watch.hpp"

#include "proxy-config/address.hpp"
#include "top/screen.hpp"
#include "top/terminal.hpp"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <optional>
#include <string_view>
#include <utility>

namespace gateway::top {

namespace {

volatile std::sig_atomic_t ended = 0;

// A connection to the admin port. It asks in HTTP/1.0: what comes then is not chunked and ends with
// the connection.
class asking {
public:
    asking() = default;
    ~asking() { close(); }
    asking(const asking&) = delete;
    asking& operator=(const asking&) = delete;

    // Why it failed; empty when it is connected and the question is sent.
    std::string ask(const std::string& admin, const std::string& page)
    {
        close();
        if (auto why = connect(admin); !why.empty())
            return why;
        auto question = "GET " + page + " HTTP/1.0\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
        if (::send(socket_, question.data(), question.size(), MSG_NOSIGNAL) !=
            ssize_t(question.size()))
            return failed(std::strerror(errno));
        return {};
    }

    int socket() const { return socket_; }
    bool open() const { return socket_ >= 0; }

    // Reads what is there (waits for it); false when nothing more comes.
    bool more()
    {
        char bytes[65536];
        auto n = ::recv(socket_, bytes, sizeof bytes, 0);
        if (n > 0)
            got_.append(bytes, std::size_t(n));
        else if (n == 0 || errno != EINTR)
            close();
        return open();
    }

    // The body so far; nothing before the head is whole. Why not, when it is no 200.
    std::optional<std::string_view> body(std::string& why) const
    {
        auto end = got_.find("\r\n\r\n");
        if (end == std::string::npos)
            return std::nullopt;
        std::string_view first(got_.data(), got_.find("\r\n"));
        if (first.find(" 200") == std::string_view::npos) {
            why = "it answered " + std::string(first);
            return std::nullopt;
        }
        return std::string_view(got_).substr(end + 4);
    }

    // The data of the last whole event; what is before it is forgotten.
    std::optional<std::string> last_event(std::string& why)
    {
        auto all = body(why);
        if (!all)
            return std::nullopt;
        auto end = all->rfind("\n\n");
        if (end == std::string_view::npos)
            return std::nullopt;
        auto events = all->substr(0, end);
        auto data = events.rfind("data: ");
        if (data == std::string_view::npos)
            return std::nullopt;
        std::string last(events.substr(data + 6));
        auto head = std::size_t(all->data() - got_.data());
        got_.erase(head, end + 2);
        return last;
    }

    void close()
    {
        if (socket_ >= 0)
            ::close(socket_);
        socket_ = -1;
    }

    void forget() { got_.clear(); }

private:
    std::string failed(std::string why)
    {
        close();
        return why;
    }

    std::string connect(const std::string& admin)
    {
        std::string why;
        auto where = parse_listen_address(admin, why);
        if (!where)
            return why;
        forget();
        if (where->is_unix()) {
            sockaddr_un at{};
            at.sun_family = AF_UNIX;
            std::strncpy(at.sun_path, where->path.c_str(), sizeof at.sun_path - 1);
            socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (::connect(socket_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0)
                return failed(std::strerror(errno));
            return {};
        }
        // Every interface, as a listener says it, is this machine for who asks.
        auto host = where->host.empty() || where->host == "0.0.0.0" ? "127.0.0.1"
                    : where->host == "::"                           ? "::1"
                                                                    : where->host;
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        addrinfo* found = nullptr;
        if (int e =
                ::getaddrinfo(host.c_str(), std::to_string(where->port).c_str(), &hints, &found);
            e != 0)
            return ::gai_strerror(e);
        why = "no address";
        for (auto* a = found; a != nullptr && socket_ < 0; a = a->ai_next) {
            socket_ = ::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
            if (::connect(socket_, a->ai_addr, a->ai_addrlen) != 0)
                why = failed(std::strerror(errno));
        }
        ::freeaddrinfo(found);
        return open() ? std::string() : why;
    }

    int socket_ = -1;
    std::string got_;
};

int once(const std::string& admin)
{
    asking a;
    auto why = a.ask(admin, "/status?recent_limit=10");
    while (why.empty() && a.more()) {
    }
    std::optional<std::string_view> status;
    if (why.empty())
        status = a.body(why);
    if (!status) {
        std::cerr << "ollama-gateway: nothing to show from " << admin << ": "
                  << (why.empty() ? "it closed the connection" : why) << "\n";
        return 1;
    }
    std::cout << paint(draw(*status, 80, 0), false, "\n") << std::flush;
    return 0;
}

// Has a key been pressed that ends it?
bool quits()
{
    char keys[64];
    auto n = ::read(STDIN_FILENO, keys, sizeof keys);
    return std::string_view(keys, n > 0 ? std::size_t(n) : 0).find_first_of("qQ\x03\x04") !=
           std::string_view::npos;
}

}  // namespace

int watch(const std::string& admin)
{
    if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0)
        return once(admin);

    struct sigaction end {};
    end.sa_handler = [](int) { ended = 1; };
    ::sigaction(SIGTERM, &end, nullptr);
    ::sigaction(SIGHUP, &end, nullptr);
    struct sigaction resized {};
    resized.sa_handler = [](int) {};  // it only ends poll()
    ::sigaction(SIGWINCH, &resized, nullptr);

    terminal screen;
    asking a;
    std::string status, why;
    bool pause = false;  // before it asks again
    while (ended == 0) {
        if (!a.open() && !std::exchange(pause, false))
            why = a.ask(admin, "/status/events");
        auto size = terminal::now();
        auto lines = why.empty() && !status.empty()
                         ? draw(status, size.columns, size.lines - 1)
                         : std::vector<line>{{"ollama-gateway at " + admin + ": " +
                                                  (why.empty() ? "waiting for its status" : why) +
                                                  " (q quits)",
                                              look::wrong}};
        for (auto& l : lines)
            l.text.resize(std::min(l.text.size(), size.columns * 4));
        terminal::show(paint(lines, true, "\x1b[K\n"));

        pollfd both[] = {{STDIN_FILENO, POLLIN, 0}, {a.socket(), POLLIN, 0}};
        if (::poll(both, a.open() ? 2 : 1, 1000) <= 0)
            continue;
        if ((both[0].revents & POLLIN) != 0 ? quits() : both[0].revents != 0)
            break;
        if (!a.open() || both[1].revents == 0)
            continue;
        bool more = a.more();
        if (auto news = a.last_event(why))
            status = std::move(*news);
        if (!more) {
            // Another second, or a server that ends each connection would be asked without a pause.
            why = why.empty() ? "the connection ended" : why;
            status.clear();
            pause = true;
        }
    }
    return 0;
}

}  // namespace gateway::top
