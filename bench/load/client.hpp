// One keep-alive connection of the load generator: writes a request, reads the answer, and tells
// its owner what came and when.
#pragma once

#include <netinet/in.h>

#include <string>
#include <string_view>

#include "bench/load/answer_reader.hpp"
#include "bench/load/loop.hpp"
#include "bench/load/net.hpp"

namespace load {

class client : public source, private answer_reader::listener {
public:
    client(loop& events, const sockaddr_in& target) : events_(events), target_(target) {}
    virtual ~client();
    client(const client&) = delete;
    client& operator=(const client&) = delete;

    bool connect();
    // Sends a request, on a new connection if the last one is gone. False when there is none to be
    // had.
    bool ask(std::string_view request);
    void leave(leaving how);

    bool connected() const { return fd_ >= 0; }
    int status() const { return reader_.status(); }
    nanos asked_at() const { return asked_at_; }
    nanos received_at() const { return received_at_; }  // of the bytes being told about

protected:
    // A piece of the body; `first` byte of an answer is told before its head is read.
    virtual void on_first_byte() {}
    virtual void on_body(std::string_view) {}
    // The answer is whole, or will never be. A new request may be sent from here.
    virtual void on_end(bool complete) = 0;

    loop& events_;

private:
    void ready() override;
    void body(std::string_view piece) override { on_body(piece); }
    void drop();

    sockaddr_in target_;
    int fd_ = -1;
    bool asking_ = false;
    bool got_byte_ = false;
    nanos asked_at_ = 0;
    nanos received_at_ = 0;
    answer_reader reader_;
};

// POST /api/chat in Ollama's form with what the origin shall do. `headers`: whole lines with CRLF.
struct wish {
    bool stream = true;
    long chunks = 1;
    double rate = 50;
    double delay_ms = 0;
    long long seed = 0;
};
std::string chat_request(const wish& what, const std::string& headers);

// One blocking request on a connection of its own: the body of its answer, or empty when anything
// goes wrong.
std::string fetch(const sockaddr_in& address, const std::string& method, const std::string& path);

}  // namespace load
