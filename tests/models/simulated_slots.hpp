// An upstream with so many slots and an unseen queue before them, first come, first served, and a
// gateway that sends it calls as far as its permits and what it learned allow. Time is simulated.
#pragma once

#include "models/parallel.hpp"

#include <deque>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <set>
#include <vector>

namespace gateway {

// What the gateway gets to see of a call.
enum class seen : std::uint8_t {
    native_stream,     // first byte, and at the end how long it ran
    v1_stream,         // first byte
    native_one_piece,  // how long it ran
    v1_one_piece,      // nothing
};

class simulated_slots {
public:
    using random = std::mt19937_64;
    struct workload {
        unsigned slots = 1;
        unsigned permits = 4;
        // Milliseconds.
        std::function<double(random&)> prompt;
        std::function<double(random&)> run;
        std::function<seen(random&)> kind;
        std::function<double(random&)> between = {};  // arrivals; none: there is always one waiting
        unsigned burst = 1;                           // so many arrive at once
        double leaves = 0;         // this share leaves some time after being sent
        double patience = 20'000;  // within this time
        double overhead = 10;      // before a run, not counted in `ran`; mean
        double jitter = 3;         // of what is seen; mean
    };

    simulated_slots(workload w, std::uint64_t seed) : world(std::move(w)), random_(seed) {}

    // Until so many calls have ended or left.
    void run(unsigned calls)
    {
        const auto until = done_ + calls;
        if (world.between && events_.empty()) {
            arrive();
        }
        while (done_ < until) {
            send();
            if (events_.empty()) {
                return;
            }
            const auto e = events_.top();
            events_.pop();
            now_ = std::max(now_, e.at);
            happens(e);
        }
    }
    // The upstream is started anew with so many slots, when nothing is out.
    void slots(unsigned n) { world.slots = n; }
    instant now() const { return instant{} + to_duration(now_); }
    unsigned done() const { return done_; }

    workload world;
    parallel learned;
    std::function<void()> after_each = [] {};
    unsigned most_running = 0;

private:
    enum class what : std::uint8_t { arrival, started, first_byte, freed, ended, leaves };
    struct event {
        double at;
        std::uint64_t order;
        what is;
        std::uint64_t call;
        bool operator<(const event& o) const { return at != o.at ? at > o.at : order > o.order; }
    };
    struct one {
        seen kind = seen::v1_stream;
        double prompt = 0;
        double run = 0;
        bool running = false;
    };

    static duration to_duration(double ms)
    {
        return std::chrono::duration_cast<duration>(std::chrono::duration<double, std::milli>(ms));
    }
    double exponential(double mean)
    {
        return mean == 0 ? 0 : std::exponential_distribution<double>(1 / mean)(random_);
    }
    void plan(double at, what is, std::uint64_t call) { events_.push({at, order_++, is, call}); }
    void arrive()
    {
        waiting_ += world.burst;
        plan(now_ + world.between(random_), what::arrival, 0);
    }

    void send()
    {
        if (now() >= learned.next_trial()) {
            learned.try_again(now());
        }
        while ((!world.between || waiting_ > 0) && out_.size() < world.permits &&
               (learned.limit() == 0 || out_.size() < learned.limit())) {
            waiting_ -= world.between ? 1 : 0;
            const auto id = ++last_;
            one c{world.kind(random_), world.prompt(random_), world.run(random_)};
            out_[id] = c;
            learned.sent(id, now());
            after_each();
            if (std::uniform_real_distribution<>(0, 1)(random_) < world.leaves) {
                plan(now_ + std::uniform_real_distribution<>(0, world.patience)(random_),
                     what::leaves, id);
            }
            queue_.push_back(id);
            start();
        }
    }
    void start()
    {
        while (running_.size() < world.slots && !queue_.empty()) {
            const auto id = queue_.front();
            queue_.pop_front();
            auto& c = out_[id];
            c.running = true;
            running_.insert(id);
            most_running = std::max<unsigned>(most_running, unsigned(running_.size()));
            const auto begins = now_ + exponential(world.overhead);
            const auto ends = begins + c.prompt + c.run;
            if (c.kind == seen::native_stream || c.kind == seen::v1_stream) {
                plan(begins + c.prompt + exponential(world.jitter), what::first_byte, id);
            }
            plan(ends, what::freed, id);
        }
    }

    void happens(const event& e)
    {
        if (e.is == what::arrival) {
            arrive();
            return;
        }
        const auto at = out_.find(e.call);
        if (at == out_.end()) {
            return;
        }
        const auto& c = at->second;
        switch (e.is) {
            case what::first_byte: learned.first_byte(e.call, now()); break;
            case what::freed:
                running_.erase(e.call);
                plan(now_ + exponential(world.jitter), what::ended, e.call);
                start();
                return;
            case what::ended: {
                std::optional<duration> ran;
                if (c.kind == seen::native_stream || c.kind == seen::native_one_piece) {
                    ran = to_duration(c.prompt + c.run);
                }
                learned.ended(e.call, ran, now());
                gone(e.call);
                break;
            }
            case what::leaves:
                learned.dropped(e.call, now());
                running_.erase(e.call);
                std::erase(queue_, e.call);
                gone(e.call);
                start();
                break;
            default: break;
        }
        after_each();
    }
    void gone(std::uint64_t id)
    {
        out_.erase(id);
        ++done_;
    }

    random random_;
    std::priority_queue<event> events_;
    std::map<std::uint64_t, one> out_;
    std::deque<std::uint64_t> queue_;  // unseen
    std::set<std::uint64_t> running_;
    std::uint64_t order_ = 0;
    std::uint64_t last_ = 0;
    unsigned waiting_ = 0;
    unsigned done_ = 0;
    double now_ = 0;
};

}  // namespace gateway
