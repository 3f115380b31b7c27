// HTTP into a call: bodies read from a connection, whole or as they come, and what a head and a
// body mean for the exchange.
#pragma once

#include "call/call.hpp"
#include "downstream/connection.hpp"
#include "downstream/head.hpp"
#include "wire/body_decoder.hpp"

#include <boost/system/result.hpp>

namespace gateway {

body_decoder decoder_for(const request_head& head);

struct body_bounds {
    std::uint64_t most;   // limits.body
    duration patience;    // before a rate is asked for
    std::uint64_t rate;   // bytes a second, at least; 0: any
    const bool& closing;  // the gateway is stopping: what has not come yet need not come

    // When a body of which so much has come since `began` is so slow that it can only be an attack
    // or a dead link: patience first, then a least rate.
    instant until(instant began, std::uint64_t received) const;
};

// A body that streams through: decoded as it comes, with plain back-pressure. Of its bounds those
// against slow senders hold: what is counted is only the time in which the client was waited for.
class client_upload : public upload {
public:
    client_upload(client_connection& from, const request_head& head, body_bounds bounds);
    awaitable<std::span<const char>> next() override;
    bool complete() const override { return decoder_.done(); }
    bool broken() const override { return bad_; }
    void abandon() override;

private:
    client_connection& from_;
    body_decoder decoder_;
    body_bounds bounds_;
    std::uint64_t received_ = 0;
    duration waited_{};
    std::string piece_;
    bool bad_ = false;
    bool abandoned_ = false;
};

// A whole body, taken into `to` as it comes, its memory into `share`. While it is not over:
// co_await from.more_than(0, taking.deadline()).
class whole_body {
public:
    whole_body(client_connection& from, const request_head& head, body_bounds bounds,
               std::string& to, memory_budget::share& share);
    ~whole_body();
    whole_body(const whole_body&) = delete;
    whole_body& operator=(const whole_body&) = delete;

    // Takes what is there. True when no more is to come.
    bool over();
    instant deadline() const { return bounds_.until(began_, received_); }
    // How it went. Faults: too_large, overloaded, bad_request (broken framing, too slow),
    // client_gone.
    const boost::system::result<void, fault>& taken() const { return taken_; }

private:
    void take();

    client_connection& from_;
    body_decoder decoder_;
    body_bounds bounds_;
    std::string& to_;
    memory_budget::share& share_;
    instant began_ = steady::now();
    std::uint64_t received_ = 0;
    boost::system::result<void, fault> taken_;
};

}  // namespace gateway
