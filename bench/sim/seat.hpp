// What a call holds while it is at work, given back by destructors.
#pragma once

#include <list>
#include <string>

#include "bench/sim/connection.hpp"

namespace sim {

// A place at a runner and the slots held there; given back when it goes.
class seat {
public:
    seat(connection& c, runner_ptr r, const std::string& model)
        : c_(c), runner_(std::move(r)), model_(model)
    {
    }
    ~seat()
    {
        while (!turns_.empty())
            give_back(turns_.front());
        c_.at.sched.finish(*runner_, steady::now());
        c_.at.scheduled();
    }
    seat(const seat&) = delete;
    seat& operator=(const seat&) = delete;

    struct held : turn {
        bool counted = false;
        instant done{};
    };

    held& line_up()
    {
        auto& one = turns_.emplace_back();
        one.wake = [this] { c_.wake(); };
        c_.at.sched.line_up(*runner_, one);
        return one;
    }
    void count(held& one)
    {
        if (std::exchange(one.counted, true))
            return;
        ++c_.at.seen.runs;
        c_.at.seen.all_running.up();
        c_.at.seen.running(model_).up();
    }
    void give_back(held& one)
    {
        uncount(one);
        c_.at.sched.leave_line(*runner_, one);
        turns_.remove_if([&](auto& other) { return &other == &one; });
    }
    // The slot stays taken and nobody has it.
    void lose(held& one)
    {
        uncount(one);
        ++c_.at.seen.leaked_slots;
        c_.at.sched.leak(*runner_);
        turns_.remove_if([&](auto& other) { return &other == &one; });
    }
    std::list<held>& turns() { return turns_; }

private:
    void uncount(held& one)
    {
        if (!one.counted)
            return;
        c_.at.seen.all_running.down();
        c_.at.seen.running(model_).down();
        one.counted = false;
    }

    connection& c_;
    runner_ptr runner_;
    std::string model_;
    std::list<held> turns_;
};

// Counts a request as long as its handler works.
class in_flight {
public:
    in_flight(connection& c, const std::string& model) : c_(c), model_(model)
    {
        c.at.seen.all_in_flight.up();
        c.at.seen.in_flight(model_).up();
    }
    ~in_flight()
    {
        c_.at.seen.all_in_flight.down();
        c_.at.seen.in_flight(model_).down();
    }
    in_flight(const in_flight&) = delete;
    in_flight& operator=(const in_flight&) = delete;

private:
    connection& c_;
    std::string model_;
};

}  // namespace sim
