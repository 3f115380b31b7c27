// Does something at a given time, unless told otherwise before. No coroutine waits for it. All of
// an event loop share one timer of Asio's: each call has one of these, and hardly any goes off.
// Single-threaded.
#pragma once

#include "async/words.hpp"
#include "base/clock.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/set.hpp>

#include <functional>

namespace gateway {

class alarms;

class alarm : public boost::intrusive::set_base_hook<
                  boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    // `act` may destroy this alarm, and any other.
    alarm(alarms& all, std::function<void()> act);
    alarm(asio::io_context& io, std::function<void()> act);
    ~alarm();
    alarm(const alarm&) = delete;
    alarm& operator=(const alarm&) = delete;

    // Goes off once, at `due`; instead of the time set before. instant::max(): not at all.
    void set(instant due);
    void clear() { set(instant::max()); }
    bool is_set() const { return is_linked(); }

private:
    friend class alarms;
    void leave();

    alarms& all_;
    std::function<void()> act_;
    instant due_ = instant::max();
    instant looked_at_{};  // while it stands among all: not later than due
};

// Those of one event loop that have a time. While there is one the loop does not end.
class alarms : public asio::io_context::service {
public:
    using key_type = alarms;
    static inline asio::io_context::id id;

    explicit alarms(asio::io_context& io);
    ~alarms() override;

private:
    friend class alarm;
    struct first_looked_at {
        using type = instant;
        const instant& operator()(const alarm& a) const { return a.looked_at_; }
    };

    void shutdown() override;
    void stand(alarm& a, instant due);
    void left();
    void arm();
    void go_off();

    boost::intrusive::multiset<alarm, boost::intrusive::constant_time_size<false>,
                               boost::intrusive::key_of_value<first_looked_at>>
        all_;
    asio::steady_timer timer_;
    instant armed_ = instant::max();
    instant not_before_{};  // what is set while others go off has its turn after them
    bool down_ = false;
};

}  // namespace gateway
