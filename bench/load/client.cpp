// The load generator's connection.
#include "bench/load/client.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace load {

client::~client()
{
    drop();
}

bool client::connect()
{
    if (fd_ < 0)
        fd_ = connect_to(target_);
    if (fd_ < 0)
        return false;
    events_.watch(fd_, *this);
    return true;
}

void client::drop()
{
    if (fd_ >= 0)
        close(fd_);
    fd_ = -1;
    asking_ = false;
}

bool client::ask(std::string_view request)
{
    if (fd_ < 0 && !connect())
        return false;
    reader_.reset();
    asking_ = true;
    got_byte_ = false;
    asked_at_ = now();
    if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) == ssize_t(request.size()))
        return true;
    drop();
    return false;
}

void client::leave(leaving how)
{
    if (fd_ < 0)
        return;
    load::leave(fd_, how);
    if (how == leaving::half)
        return;
    fd_ = -1;
    asking_ = false;
}

void client::ready()
{
    if (fd_ < 0)
        return;
    static char some[65536];
    auto n = recv(fd_, some, sizeof some, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    received_at_ = now();
    auto state = answer_reader::state::bad;
    if (n > 0 && asking_) {
        if (!got_byte_) {
            got_byte_ = true;
            on_first_byte();
        }
        state = reader_.take({some, std::size_t(n)}, *this);
        if (state == answer_reader::state::reading)
            return;
    } else if (n == 0 && asking_) {
        state = reader_.closed();
    }
    bool told = asking_;
    asking_ = false;
    if (n <= 0 || state == answer_reader::state::bad)
        drop();
    if (told)
        on_end(state == answer_reader::state::complete);
}

std::string chat_request(const wish& what, const std::string& headers)
{
    char body[512];
    auto length = std::snprintf(
        body, sizeof body,
        R"({"model":"bench:latest","messages":[{"role":"user","content":"two and two?"}],)"
        R"("stream":%s,"options":{"num_predict":%ld,"rate":%g,"delay_ms":%g,"seed":%lld}})",
        what.stream ? "true" : "false", what.chunks, what.rate, what.delay_ms, what.seed);
    return "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
           "Accept: application/x-ndjson\r\n" +
           headers + "Content-Length: " + std::to_string(length) + "\r\n\r\n" + body;
}

std::string fetch(const sockaddr_in& address, const std::string& method, const std::string& path)
{
    struct : answer_reader::listener {
        void body(std::string_view piece) override { text += piece; }
        std::string text;
    } answer;
    int fd = connect_to(address);
    if (fd < 0)
        return {};
    fcntl(fd, F_SETFL, 0);
    timeval patience{5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    auto request = method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    answer_reader reader;
    auto state = answer_reader::state::reading;
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) == ssize_t(request.size())) {
        char some[65536];
        while (state == answer_reader::state::reading) {
            auto n = recv(fd, some, sizeof some, 0);
            if (n <= 0)
                break;
            state = reader.take({some, std::size_t(n)}, answer);
        }
    }
    close(fd);
    return state == answer_reader::state::complete ? answer.text : std::string();
}

}  // namespace load
