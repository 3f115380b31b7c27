// gateway-origin: a fast upstream in Ollama's wire form whose pace the request chooses, so that
// what is measured is the proxy in front of it. `POST /api/chat` reads from "options": num_predict
// (chunks), rate (chunks a second, on an absolute schedule), delay_ms (before the answer), seed (a
// number under which the call is logged). `GET /log`: one line per logged call, "seed start end
// complete|gone"; `DELETE /log`.
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load/loop.hpp"
#include "bench/load/net.hpp"
#include "bench/load/origin_shapes.hpp"

namespace load {

namespace {

struct logged {
    long long seed;
    nanos start, end;
    bool complete;
};

class connection;

// What all connections share.
struct origin {
    load::loop events;
    std::vector<logged> log;
    std::deque<connection> all;  // never freed: the loop may still hold an event of a closed one
    std::vector<connection*> unused;
    bool loaded = true;
};

class connection final : public source {
public:
    explicit connection(origin& of) : of_(of) {}

    void open(int fd);
    void ready() override;
    void due() override;

private:
    enum class phase : std::uint8_t { reading, waiting, streaming };

    void take_request();
    void begin(std::string_view method, std::string_view path, std::string_view body);
    void begin_generation(std::string_view body);
    void next_chunk();
    void finish();
    void write(std::string_view bytes);
    void shut();
    void note(bool complete, nanos at);

    origin& of_;
    int fd_ = -1;
    phase phase_ = phase::reading;
    std::string in_;
    std::string unsent_;
    nanos start_ = 0;
    nanos first_at_ = 0;  // when the schedule's first chunk is due
    nanos interval_ = 0;
    long chunks_ = 0;
    long sent_ = 0;
    long long seed_ = 0;
    bool streamed_ = true;
};

void connection::open(int fd)
{
    fd_ = fd;
    phase_ = phase::reading;
    in_.clear();
    unsent_.clear();
    of_.events.watch(fd, *this);
}

void connection::shut()
{
    if (fd_ < 0)
        return;
    if (phase_ != phase::reading)
        note(false, now());
    of_.events.cancel(*this);
    close(fd_);
    fd_ = -1;
    of_.unused.push_back(this);
}

void connection::note(bool complete, nanos at)
{
    if (seed_ != 0)
        of_.log.push_back({seed_, start_, at, complete});
    seed_ = 0;
}

void connection::ready()
{
    if (fd_ < 0)
        return;
    if (!unsent_.empty()) {
        auto rest = std::move(unsent_);
        unsent_.clear();
        write(rest);
        if (fd_ >= 0 && unsent_.empty())
            of_.events.rewatch(fd_, *this, false);
    }
    char some[16384];
    while (fd_ >= 0) {
        auto n = recv(fd_, some, sizeof some, 0);
        if (n > 0) {
            in_.append(some, std::size_t(n));
            if (phase_ == phase::reading)
                take_request();
            if (std::size_t(n) == sizeof some)
                continue;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            shut();
        }
        return;
    }
}

void connection::take_request()
{
    while (fd_ >= 0 && phase_ == phase::reading) {
        auto head = in_.find("\r\n\r\n");
        if (head == in_.npos)
            return;
        std::size_t length = 0;
        for (std::size_t at = in_.find("\r\n"); at < head; at = in_.find("\r\n", at + 2)) {
            constexpr std::string_view name = "content-length:";
            if (strncasecmp(in_.c_str() + at + 2, name.data(), name.size()) == 0)
                length = std::strtoul(in_.c_str() + at + 2 + name.size(), nullptr, 10);
        }
        auto whole = head + 4 + length;
        if (in_.size() < whole)
            return;
        auto request = in_.substr(0, whole);
        in_.erase(0, whole);
        std::string_view line(request);
        line = line.substr(0, line.find("\r\n"));
        auto space = line.find(' ');
        auto method = line.substr(0, space);
        auto path = line.substr(space + 1, line.rfind(' ') - space - 1);
        begin(method, path.substr(0, path.find('?')), std::string_view(request).substr(head + 4));
    }
}

void connection::begin(std::string_view method, std::string_view path, std::string_view body)
{
    if (path == "/log") {
        std::string text;
        if (method == "DELETE")
            of_.log.clear();
        for (auto& call : of_.log)
            text += std::to_string(call.seed) + ' ' + std::to_string(call.start) + ' ' +
                    std::to_string(call.end) + (call.complete ? " complete\n" : " gone\n");
        write(whole_answer("200 OK", "text/plain", text));
        return;
    }
    if (path != "/api/chat" && path != "/api/generate") {
        write(information(method, path, of_.loaded));
        return;
    }
    bool empty = body.find("\"messages\":[{") == body.npos &&
                 (path == "/api/chat" || body.find("\"prompt\":\"") == body.npos ||
                  body.find("\"prompt\":\"\"") != body.npos);
    if (!empty) {
        begin_generation(body);
        return;
    }
    of_.loaded =
        number_after(body, "keep_alive", 1) != 0 && body.find("\"keep_alive\":\"0") == body.npos;
    write(load_answer(of_.loaded ? "load" : "unload"));
}

void connection::begin_generation(std::string_view body)
{
    of_.loaded = true;
    start_ = now();
    streamed_ = body.find("\"stream\":false") == body.npos;
    auto asked = [&](const char* key, double otherwise, double low, double high) {
        return std::clamp(number_after(body, key, otherwise), low, high);
    };
    seed_ = (long long)(asked("seed", 0, 0, 1e15));
    chunks_ = long(asked("num_predict", 1, 0, 1e9));
    interval_ = nanos(1e9 / asked("rate", 50, 0.01, 1e9));
    auto delay = nanos(asked("delay_ms", 0, 0, 1e9) * 1e6);
    first_at_ = start_ + delay;
    sent_ = 0;
    phase_ = streamed_ ? phase::streaming : phase::waiting;
    if (delay > 0)
        of_.events.at(first_at_, *this);
    else
        due();
}

void connection::due()
{
    if (phase_ == phase::waiting) {
        note(true, now());
        phase_ = phase::reading;
        write(chat_answer());
        take_request();
    } else if (phase_ == phase::streaming) {
        next_chunk();
    }
}

void connection::next_chunk()
{
    if (sent_ == 0 && chunks_ > 0) {  // the head goes out with the first line, as from Go's buffer
        write(std::string(stream_head()) + std::string(stream_chunk(now())));
    } else if (sent_ < chunks_) {
        write(stream_chunk(now()));
    } else {
        finish();
        return;
    }
    ++sent_;
    if (fd_ >= 0)
        of_.events.at(first_at_ + sent_ * interval_, *this);
}

void connection::finish()
{
    if (chunks_ <= 0)
        write(stream_head());
    write(stream_final_line(chunks_));
    if (fd_ < 0)
        return;
    note(true, now());
    phase_ = phase::reading;
    write(stream_end());  // in a write of its own, as Ollama's handler does when it returns
    take_request();
}

void connection::write(std::string_view bytes)
{
    if (fd_ < 0)
        return;
    ssize_t n = 0;
    if (unsent_.empty()) {
        n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            shut();
            return;
        }
        n = n < 0 ? 0 : n;
        if (std::size_t(n) < bytes.size())
            of_.events.rewatch(fd_, *this, true);
    }
    unsent_.append(bytes.substr(std::size_t(n)));
}

class listener final : public source {
public:
    listener(origin& of, int fd) : of_(of), fd_(fd) { of_.events.watch(fd, *this); }

    void ready() override
    {
        for (int fd; (fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
            if (of_.unused.empty())
                of_.unused.push_back(&of_.all.emplace_back(of_));
            auto* one = of_.unused.back();
            of_.unused.pop_back();
            one->open(fd);
        }
    }

private:
    origin& of_;
    int fd_;
};

}  // namespace

}  // namespace load

int main(int argc, char** argv)
{
    auto address =
        load::parse_address(argc == 3 && std::string_view(argv[1]) == "--listen" ? argv[2] : "");
    if (!address) {
        std::fputs("usage: gateway-origin --listen 127.0.0.1:PORT\n", stderr);
        return 2;
    }
    load::raise_descriptor_limit();
    int fd = load::listen_on(*address);
    if (fd < 0) {
        std::perror("gateway-origin: listen");
        return 1;
    }
    load::origin origin;
    load::listener listener(origin, fd);
    origin.events.run();
}
