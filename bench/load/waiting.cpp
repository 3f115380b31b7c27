// N clients in the gateway's queue behind one call that never ends: what they cost in memory and
// CPU, how punctual their events are, and what it costs when all leave at once.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "bench/load/client.hpp"
#include "bench/load/settings.hpp"

namespace load {

namespace {

struct tally {
    bool open = false;
    nanos interval = 0;
    std::uint64_t events = 0;
    std::uint64_t ended = 0;  // answers that ended while their clients should still wait
    histogram late;           // how far a gap between two events is from the interval
};

class waiter : public client {
public:
    waiter(loop& events, const sockaddr_in& target, std::string request, tally& sum)
        : client(events, target), request_(std::move(request)), sum_(sum)
    {
    }

    void start() { ask(request_); }

private:
    void on_body(std::string_view) override
    {
        if (sum_.open) {
            ++sum_.events;
            if (last_ > 0)
                sum_.late.add(std::abs(received_at() - last_ - sum_.interval));
        }
        last_ = received_at();
    }
    void on_end(bool) override { ++sum_.ended; }

    std::string request_;
    tally& sum_;
    nanos last_ = 0;
};

class holder : public client {
public:
    using client::client;
    bool began = false;

private:
    void on_first_byte() override { began = true; }
    void on_end(bool) override { give_up("the call that holds the permit ended"); }
};

}  // namespace

report run_waiting(settings& with)
{
    auto count = int(with.number("clients", 10'000));
    auto duration = with.number("duration", 10);
    auto spread = std::max(1, int(with.number("spread", 1)));
    auto queue_path = with.text("queue-path", "/gateway/queue");
    auto sum = std::make_unique<tally>();
    sum->interval = nanos(with.number("interval-ms", 1000) * 1e6);
    with.all_read();
    if (with.processes.empty())
        give_up("waiting needs --cpu NAME=PID of the gateway");
    auto& gateway = with.processes.front();
    auto waiting = [&] {
        return number_after(fetch(with.target, "GET", queue_path), "waiting", -1);
    };

    loop events;
    holder first(events, with.target);
    first.ask(chat_request({.chunks = 1'000'000, .rate = 1}, ""));
    for (auto patience = now() + 5 * second; !first.began && now() < patience;)
        events.run(now() + 50 * millisecond);
    if (!first.began)
        give_up("the call that holds the permit did not begin");

    if (waiting() < 0)
        give_up("no number \"waiting\" at " + queue_path);
    auto empty = resident_bytes(gateway);
    cpu_window arriving(with.processes), idle(with.processes), leaving_all(with.processes);
    arriving.begin();
    std::vector<std::unique_ptr<waiter>> clients;
    for (int i = 0; i < count; ++i) {
        auto who = i % spread;
        auto headers = with.headers;
        if (spread > 1)
            headers += "X-Forwarded-For: 10." + std::to_string(who >> 16 & 255) + "." +
                       std::to_string(who >> 8 & 255) + "." + std::to_string(who & 255) + "\r\n";
        clients.push_back(
            std::make_unique<waiter>(events, with.target, chat_request({}, headers), *sum));
        clients.back()->start();
        if (i % 50 == 49)  // arrivals spread the ticks over the second, as they are in life
            events.run(now() + millisecond);
    }
    for (auto patience = now() + 30 * second; waiting() < count && now() < patience;)
        events.run(now() + 100 * millisecond);
    arriving.end();
    auto queued = waiting();
    events.run(now() + 3 * second);

    sum->open = true;
    idle.begin();
    events.run(now() + nanos(duration * 1e9));
    idle.end();
    sum->open = false;
    auto full = resident_bytes(gateway);
    auto ended = sum->ended;

    auto left_at = now();
    leaving_all.begin();
    for (auto& one : clients)
        one->leave(leaving::rst);
    nanos forgotten = 0;
    for (auto patience = now() + 30 * second; now() < patience;) {
        if (waiting() == 0) {
            forgotten = now() - left_at;
            break;
        }
        events.run(now() + 2 * millisecond);
    }
    leaving_all.end();
    first.leave(leaving::rst);

    report out;
    out.text("mode", "waiting");
    out.number("clients", count);
    out.number("queued", queued);
    out.number("ended_early", double(ended));
    out.number("bytes_per_client", (full - empty) / count);
    out.number("rss_before", empty);
    out.number("rss_waiting", full);
    out.number("events", double(sum->events));
    out.number("events_per_client_s", double(sum->events) / count / duration);
    if (sum->late.count() > 0)
        out.times("event_late", sum->late);
    idle.tell(out, double(sum->events));
    out.number("arrive_us", double(arriving.used(0)) / 1e3 / count);
    out.number("leave_us", double(leaving_all.used(0)) / 1e3 / count);
    out.number("all_forgotten_ms", double(forgotten) / 1e6);
    return out;
}

}  // namespace load
