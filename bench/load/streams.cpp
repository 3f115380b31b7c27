// S concurrent streams at R chunks a second: what each chunk was delayed, the gaps between chunks,
// the time to the first byte, and whether every stream came whole.
#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "bench/load/client.hpp"
#include "bench/load/origin_shapes.hpp"
#include "bench/load/settings.hpp"

namespace load {

namespace {

struct tally {
    bool open = false;  // the window in which chunks are counted
    bool over = false;  // no stream is begun any more
    std::uint64_t chunks = 0;
    std::uint64_t started = 0;
    std::uint64_t whole = 0;
    std::uint64_t lost = 0;   // cut, short, without its last line, or refused
    std::uint64_t reads = 0;  // pieces in which the counted chunks came
    histogram first_byte;     // of every stream, from its request on
    histogram delay;          // chunk: origin's stamp to arrival
    histogram gap;            // arrival to arrival
    histogram gap_added;      // what a gap is longer than at the origin
    histogram longest_added;  // each stream's longest of these
    histogram origin_late;    // how far the origin was behind its own schedule
};

struct plan {
    long chunks;
    nanos interval;
    std::string request;
};

class stream : public client {
public:
    stream(loop& events, const sockaddr_in& target, const plan& what, tally& sum)
        : client(events, target), plan_(what), sum_(sum)
    {
    }

    bool running() const { return running_; }

private:
    void due() override { start(); }

    void start()
    {
        seen_ = 0;
        last_line_ = false;
        longest_added_ = 0;
        running_ = true;
        ++sum_.started;
        if (!ask(plan_.request))
            finished(false);
    }

    void on_first_byte() override { sum_.first_byte.add(received_at() - asked_at()); }

    void on_body(std::string_view piece) override
    {
        sum_.reads += sum_.open ? 1 : 0;
        while (!piece.empty()) {
            auto end = piece.find('\n');
            if (end == piece.npos) {
                rest_.append(piece);
                return;
            }
            if (rest_.empty()) {
                line(piece.substr(0, end));
            } else {
                rest_.append(piece.substr(0, end));
                line(rest_);
                rest_.clear();
            }
            piece.remove_prefix(end + 1);
        }
    }

    void line(std::string_view text)
    {
        auto stamp = stamp_in(text);
        if (stamp == 0) {
            last_line_ = text.find("\"done\":true") != text.npos;
            return;
        }
        if (seen_ == 0)
            first_stamp_ = stamp;
        if (sum_.open) {
            ++sum_.chunks;
            sum_.delay.add(received_at() - stamp);
            sum_.origin_late.add(stamp - first_stamp_ - seen_ * plan_.interval);
            if (seen_ > 0) {
                auto gap = received_at() - previous_arrival_;
                auto added = gap - (stamp - previous_stamp_);
                sum_.gap.add(gap);
                sum_.gap_added.add(added);
                longest_added_ = std::max(longest_added_, added);
            }
        }
        previous_stamp_ = stamp;
        previous_arrival_ = received_at();
        ++seen_;
    }

    void on_end(bool complete) override
    {
        finished(complete && status() == 200 && last_line_ && seen_ == plan_.chunks);
    }

    void finished(bool whole)
    {
        running_ = false;
        rest_.clear();
        ++(whole ? sum_.whole : sum_.lost);
        if (longest_added_ > 0)
            sum_.longest_added.add(longest_added_);
        if (!sum_.over)
            events_.at(now() + (whole ? 0 : 10 * millisecond), *this);
    }

    const plan& plan_;
    tally& sum_;
    bool running_ = false;
    bool last_line_ = false;
    long seen_ = 0;
    nanos first_stamp_ = 0;
    nanos previous_stamp_ = 0;
    nanos previous_arrival_ = 0;
    nanos longest_added_ = 0;
    std::string rest_;  // of a line
};

}  // namespace

report run_streams(settings& with)
{
    auto count = int(with.number("streams", 100));
    auto rate = with.number("rate", 50);
    auto duration = with.number("duration", 5);
    auto ramp = with.number("ramp", 0.5);
    auto chunks = long(with.number("chunks", 0));
    with.all_read();
    constexpr double settling = 0.5;
    bool long_ones = chunks == 0;
    if (long_ones)
        chunks = long((ramp + settling + duration + 0.2) * rate);

    loop events;
    plan what{chunks, nanos(1e9 / rate),
              chat_request({.chunks = chunks, .rate = rate}, with.headers)};
    auto sum = std::make_unique<tally>();
    cpu_window cpu(with.processes);
    std::vector<std::unique_ptr<stream>> streams;
    for (int i = 0; i < count; ++i) {
        streams.push_back(std::make_unique<stream>(events, with.target, what, *sum));
        if (!streams.back()->connect())
            give_up("cannot connect");
    }
    // Starts are spread, with a jitter from a fixed seed, so that the streams' chunks do not fall
    // together.
    std::mt19937 random(1);
    std::uniform_real_distribution<double> jitter(0, 1);
    auto begin = now() + 10 * millisecond;
    for (int i = 0; i < count; ++i)
        events.at(begin + nanos((i + jitter(random)) * ramp / count * 1e9),
                  *streams[std::size_t(i)]);
    sum->over = long_ones;
    events.run(begin + nanos((ramp + settling) * 1e9));
    sum->open = true;
    cpu.begin();
    events.run(now() + nanos(duration * 1e9));
    cpu.end();
    sum->open = false;
    sum->over = true;
    // What still runs may end, but not for ever.
    auto running = [&] {
        for (auto& one : streams)
            if (one->running())
                return true;
        return false;
    };
    for (auto patience = now() + 10 * second; running() && now() < patience;)
        events.run(now() + 20 * millisecond);
    for (auto& one : streams)
        sum->lost += one->running() ? 1 : 0;

    report out;
    out.text("mode", "streams");
    out.number("streams", count);
    out.number("rate", rate);
    out.number("started", double(sum->started));
    out.number("whole", double(sum->whole));
    out.number("lost", double(sum->lost));
    out.number("chunks", double(sum->chunks));
    out.number("chunks_per_s", double(sum->chunks) / (double(cpu.length()) / 1e9));
    out.number("chunks_per_read", double(sum->chunks) / double(sum->reads));
    out.times("first_byte", sum->first_byte);
    out.times("delay", sum->delay);
    out.times("gap", sum->gap);
    out.times("gap_added", sum->gap_added);
    out.times("longest_gap_added", sum->longest_added);
    out.times("origin_late", sum->origin_late);
    cpu.tell(out, double(sum->chunks));
    return out;
}

}  // namespace load
