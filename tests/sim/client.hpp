// A small blocking HTTP client that shows what was on the wire: chunks one by one, how the
// connection ended.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace sim_test {

struct response {
    int status = 0;
    std::string head;
    std::string body;
    std::vector<std::string> chunks;
    bool chunked = false;
    bool complete = false;  // the end marker, or as many bytes as promised
    bool reset = false;
    bool closed = false;

    std::string field(std::string_view name) const
    {
        std::string needle = "\r\n" + std::string(name) + ": ";
        auto at = head.find(needle);
        if (at == std::string::npos)
            return {};
        at += needle.size();
        return head.substr(at, head.find("\r\n", at) - at);
    }
};

class client {
public:
    explicit client(unsigned short port, int receive_buffer = 0)
        : fd_(::socket(AF_INET, SOCK_STREAM, 0))
    {
        if (receive_buffer > 0)
            ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        int one = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    }
    ~client() { close(); }
    client(client&& from) noexcept
        : fd_(std::exchange(from.fd_, -1)),
          connected_(from.connected_),
          ahead_(std::move(from.ahead_))
    {
    }

    bool connected() const { return connected_; }

    void send(std::string_view bytes)
    {
        while (!bytes.empty()) {
            auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n <= 0)
                return;
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
    }

    void request(std::string_view method, std::string_view target, std::string_view body = {},
                 std::string_view fields = {})
    {
        std::string out(method);
        out += ' ';
        out += target;
        out += " HTTP/1.1\r\nHost: localhost\r\n";
        out += fields;
        if (!body.empty() || method == "POST")
            out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        out += "\r\n";
        out += body;
        send(out);
    }

    // Reads one answer. `head_only` for HEAD.
    response read(bool head_only = false, int timeout_ms = 5000)
    {
        response r;
        std::size_t end;
        while ((end = ahead_.find("\r\n\r\n")) == std::string::npos)
            if (!more(r, timeout_ms))
                return r;
        r.head = ahead_.substr(0, end + 4);
        ahead_.erase(0, end + 4);
        if (r.head.size() > 12)
            std::from_chars(r.head.data() + 9, r.head.data() + 12, r.status);
        if (head_only || r.status == 204) {
            r.complete = true;
            return r;
        }
        if (r.field("Transfer-Encoding") == "chunked") {
            r.chunked = true;
            read_chunks(r, timeout_ms);
        } else if (auto length = r.field("Content-Length"); !length.empty()) {
            auto want = static_cast<std::size_t>(std::stoul(length));
            while (ahead_.size() < want && more(r, timeout_ms)) {
            }
            r.body = ahead_.substr(0, want);
            ahead_.erase(0, r.body.size());
            r.complete = r.body.size() == want;
        } else {
            while (more(r, timeout_ms)) {
            }
            r.body = std::exchange(ahead_, {});
        }
        return r;
    }

    // Waits for at least one byte without taking it; false when none came in time or the server has
    // closed.
    bool readable(int timeout_ms)
    {
        if (!ahead_.empty())
            return true;
        pollfd p{fd_, POLLIN, 0};
        char c;
        return ::poll(&p, 1, timeout_ms) == 1 && ::recv(fd_, &c, 1, MSG_PEEK) == 1;
    }
    // The server closes or resets within the time.
    bool ends(int timeout_ms)
    {
        pollfd p{fd_, POLLIN, 0};
        char c;
        return ::poll(&p, 1, timeout_ms) == 1 && ::recv(fd_, &c, 1, MSG_PEEK) <= 0;
    }

    std::string rest() { return ahead_; }
    void half_close() { ::shutdown(fd_, SHUT_WR); }
    void close()
    {
        if (fd_ >= 0)
            ::close(std::exchange(fd_, -1));
    }
    void reset()
    {
        linger l{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        close();
    }

private:
    bool more(response& r, int timeout_ms)
    {
        pollfd p{fd_, POLLIN, 0};
        if (::poll(&p, 1, timeout_ms) != 1)
            return false;
        char buffer[65536];
        auto n = ::recv(fd_, buffer, sizeof buffer, 0);
        if (n <= 0) {
            r.closed = true;
            r.reset = n < 0;
            return false;
        }
        ahead_.append(buffer, static_cast<std::size_t>(n));
        return true;
    }

    void read_chunks(response& r, int timeout_ms)
    {
        while (true) {
            std::size_t line;
            while ((line = ahead_.find("\r\n")) == std::string::npos)
                if (!more(r, timeout_ms))
                    return;
            std::size_t size = 0;
            auto read = std::from_chars(ahead_.data(), ahead_.data() + line, size, 16);
            if (read.ec != std::errc())
                return;
            while (ahead_.size() < line + 2 + size + 2)
                if (!more(r, timeout_ms))
                    return;
            auto chunk = ahead_.substr(line + 2, size);
            ahead_.erase(0, line + 2 + size + 2);
            if (size == 0) {
                r.complete = true;
                return;
            }
            r.body += chunk;
            r.chunks.push_back(std::move(chunk));
        }
    }

    int fd_;
    bool connected_ = false;
    std::string ahead_;
};

// One request on a connection of its own.
inline response ask(unsigned short port, std::string_view method, std::string_view target,
                    std::string_view body = {}, std::string_view fields = {})
{
    client c(port);
    c.request(method, target, body, fields);
    return c.read(method == "HEAD");
}

// Polls until `f` is true; false when it was not within two seconds.
template <class F>
bool soon(F f)
{
    auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (!f()) {
        if (std::chrono::steady_clock::now() > until)
            return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

}  // namespace sim_test
