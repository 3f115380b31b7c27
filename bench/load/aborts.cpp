// Clients that leave: in which phase, in which way, and how long it takes until the origin notices.
#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "bench/load/client.hpp"
#include "bench/load/origin_log.hpp"
#include "bench/load/settings.hpp"

namespace load {

namespace {

class leaver : public client {
public:
    leaver(loop& events, const sockaddr_in& target) : client(events, target) {}

    void leave_at(nanos when, leaving how)
    {
        how_ = how;
        events_.at(when, *this);
    }
    bool got_byte() const { return got_byte_; }
    nanos left_at() const { return left_at_; }
    void again()
    {
        got_byte_ = false;
        left_at_ = 0;
    }

private:
    void due() override
    {
        left_at_ = now();
        leave(how_);
    }
    void on_first_byte() override { got_byte_ = true; }
    void on_end(bool) override {}

    leaving how_ = leaving::rst;
    bool got_byte_ = false;
    nanos left_at_ = 0;
};

leaving way(const std::string& name)
{
    if (name == "rst")
        return leaving::rst;
    if (name == "fin")
        return leaving::fin;
    if (name == "half")
        return leaving::half;
    give_up("--how wants rst, fin or half");
}

// What a client asks for so that it is in the phase when it leaves.
wish asked_in(const std::string& phase)
{
    constexpr double for_ever = 600'000;
    if (phase == "streaming")
        return {.chunks = 100'000};
    if (phase == "first_byte")
        return {.delay_ms = for_ever};
    if (phase == "one_piece")
        return {.stream = false, .delay_ms = for_ever};
    if (phase == "queued")  // would be answered, and logged, at once if it ever got through
        return {.stream = false};
    give_up("--phase wants streaming, first_byte, one_piece or queued");
}

}  // namespace

report run_aborts(settings& with)
{
    auto phase = with.text("phase", "streaming");
    auto how_name = with.text("how", "rst");
    auto how = way(how_name);
    auto count = int(with.number("count", 320));
    auto at_once = int(with.number("at-once", 16));
    bool together = with.number("together", 0) != 0;
    with.all_read();
    auto what = asked_in(phase);

    loop events;
    clear_origin_log(with.origin);
    leaver holder(events, with.target);  // keeps the only permit while others are to queue
    if (phase == "queued") {
        holder.ask(chat_request({.chunks = 100'000}, with.headers));
        events.run(now() + 300 * millisecond);
        if (!holder.got_byte())
            give_up("the stream that should hold the permit did not begin");
    }
    std::vector<std::unique_ptr<leaver>> clients;
    for (int i = 0; i < at_once; ++i)
        clients.push_back(std::make_unique<leaver>(events, with.target));

    std::mt19937 random(1);
    std::uniform_int_distribution<nanos> moment(0, 100 * millisecond);
    std::map<long long, nanos> left;  // by seed
    for (long long seed = 1; seed <= count;) {
        auto first = seed;
        for (auto& one : clients) {
            one->again();
            what.seed = seed++;
            one->ask(chat_request(what, with.headers));
        }
        // Who streams has a byte; of the others it is known only afterwards, from the origin's log.
        events.run(now() + 100 * millisecond + at_once * millisecond);
        auto begun = [&] {
            return std::all_of(clients.begin(), clients.end(),
                               [](auto& one) { return one->got_byte(); });
        };
        for (auto patience = now() + 5 * second;
             phase == "streaming" && !begun() && now() < patience;)
            events.run(now() + 20 * millisecond);
        auto base = now() + millisecond;
        for (auto& one : clients)
            one->leave_at(base + (together ? 0 : moment(random)), how);
        auto all_left = [&] {
            return std::all_of(clients.begin(), clients.end(),
                               [](auto& one) { return one->left_at() != 0; });
        };
        // On a busy machine the last may be later than it was told to be.
        for (events.run(base + 101 * millisecond); !all_left();)
            events.run(now() + millisecond);
        for (std::size_t i = 0; i < clients.size(); ++i)
            left[first + (long long)(i)] = clients[i]->left_at();
        if (how == leaving::half) {
            events.run(now() + 100 * millisecond);
            for (auto& one : clients)
                one->leave(leaving::rst);
        }
    }
    holder.leave(leaving::rst);
    events.run(now() + 500 * millisecond);  // late ones, and queued ones that were not forgotten

    auto delays = std::make_unique<histogram>();
    std::uint64_t noticed = 0, reached = 0, early = 0;
    for (auto& call : origin_log(with.origin)) {
        auto gone = left.find(call.seed);
        if (gone == left.end())
            continue;
        ++reached;
        if (call.complete)
            continue;
        if (call.end < gone->second) {
            ++early;  // the proxy gave up before the client did
            continue;
        }
        ++noticed;
        delays->add(call.end - gone->second);
    }
    report out;
    out.text("mode", "aborts");
    out.text("phase", phase);
    out.text("how", how_name);
    out.number("at_once", at_once);
    out.number("together", together);
    out.number("left", double(left.size()));
    out.number("reached_origin", double(reached));
    out.number("noticed", double(noticed));
    out.number("cut_early", double(early));
    out.times("noticed", *delays);
    return out;
}

}  // namespace load
