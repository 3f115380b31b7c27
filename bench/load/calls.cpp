// Short one-piece calls, one after the other on each of C kept connections; and the same in front
// of a single permit, where what counts is how long the permit lies idle between two of them.
#include <algorithm>
#include <memory>
#include <vector>

#include "bench/load/client.hpp"
#include "bench/load/origin_log.hpp"
#include "bench/load/settings.hpp"

namespace load {

namespace {

struct tally {
    bool open = false;  // the window in which figures are taken
    bool over = false;  // no further calls
    std::uint64_t calls = 0;
    std::uint64_t failed = 0;
    histogram latency;
};

class caller : public client {
public:
    caller(loop& events, const sockaddr_in& target, std::string request, tally& sum)
        : client(events, target), request_(std::move(request)), sum_(sum)
    {
    }

    void start()
    {
        if (!ask(request_)) {
            ++sum_.failed;
            events_.at(now() + 100 * millisecond, *this);
        }
    }

private:
    void due() override { start(); }

    void on_end(bool complete) override
    {
        if (sum_.open) {
            if (complete && status() == 200) {
                ++sum_.calls;
                sum_.latency.add(received_at() - asked_at());
            } else {
                ++sum_.failed;
            }
        }
        if (sum_.over)
            return;
        if (complete && status() == 200)
            start();
        else
            events_.at(now() + 10 * millisecond, *this);  // a refusal must not become a busy loop
    }

    std::string request_;
    tally& sum_;
};

struct window {
    nanos began, ended;
};

// Runs the load, fills the sum and the CPU figures, and lets the last calls end.
window drive(settings& with, const wish& what, double connections, report& out)
{
    auto warmup = nanos(with.number("warmup", 0.5) * 1e9);
    auto duration = nanos(with.number("duration", 5) * 1e9);
    with.all_read();
    loop events;
    auto sum = std::make_unique<tally>();
    cpu_window cpu(with.processes);
    auto request = chat_request(what, with.headers);
    std::vector<std::unique_ptr<caller>> callers;
    for (int i = 0; i < int(connections); ++i) {
        callers.push_back(std::make_unique<caller>(events, with.target, request, *sum));
        if (!callers.back()->connect())
            give_up("cannot connect");
    }
    for (auto& one : callers)
        one->start();
    events.run(now() + warmup);
    sum->open = true;
    cpu.begin();
    window measured{now(), 0};
    events.run(now() + duration);
    cpu.end();
    measured.ended = now();
    sum->open = false;
    sum->over = true;
    events.run(now() + 100 * millisecond);
    out.number("connections", connections);
    out.number("calls", double(sum->calls));
    out.number("failed", double(sum->failed));
    out.number("calls_per_s", double(sum->calls) / (double(cpu.length()) / 1e9));
    out.times("latency", sum->latency);
    cpu.tell(out, double(sum->calls));
    return measured;
}

}  // namespace

report run_calls(settings& with)
{
    report out;
    out.text("mode", "calls");
    wish what{.stream = false, .delay_ms = with.number("delay-ms", 0)};
    drive(with, what, with.number("connections", 1), out);
    return out;
}

report run_handover(settings& with)
{
    report out;
    out.text("mode", "handover");
    wish what{.stream = false, .delay_ms = with.number("delay-ms", 5), .seed = 1};
    clear_origin_log(with.origin);
    auto measured = drive(with, what, with.number("connections", 8), out);

    auto calls = origin_log(with.origin);
    std::erase_if(calls, [&](const origin_call& call) {
        return call.start < measured.began || call.end > measured.ended;
    });
    std::sort(calls.begin(), calls.end(),
              [](const origin_call& a, const origin_call& b) { return a.start < b.start; });
    auto gaps = std::make_unique<histogram>();
    std::uint64_t overlaps =
        0;  // more than one permit at work: then the other figures mean nothing
    nanos busy = 0;
    for (std::size_t i = 0; i < calls.size(); ++i) {
        busy += calls[i].end - calls[i].start;
        if (i == 0)
            continue;
        auto gap = calls[i].start - calls[i - 1].end;
        overlaps += gap < 0 ? 1 : 0;
        gaps->add(gap);
    }
    out.number("origin_calls", double(calls.size()));
    out.number("overlaps", double(overlaps));
    out.times("gap", *gaps);
    if (calls.size() > 1)
        out.number("utilisation", double(busy) / double(calls.back().end - calls.front().start));
    return out;
}

}  // namespace load
