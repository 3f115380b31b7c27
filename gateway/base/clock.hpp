// Time, as every room speaks of it. Pure files take an `instant` as an argument and never read a
// clock.
//
// To read a clock costs as much as some two hundred instructions (on a virtual machine 40 to 80
// ns), and a call asks for the time some thirty times. So while one thing is done that waits for
// nothing, its thread may hold the clocks still: they are read once then, when they are first
// asked, and once more for whatever comes meanwhile, which may not have come before it was sent.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace gateway {

template <class Clock>
class held_clock {
public:
    using time_point = typename Clock::time_point;

    static time_point now()
    {
        if (!held_)
            return Clock::now();
        if (at_ == time_point())
            at_ = Clock::now();
        return at_;
    }

private:
    friend class clocks_held;
    static inline constinit thread_local bool held_ = false;
    static inline constinit thread_local time_point at_{};
};

using steady = held_clock<std::chrono::steady_clock>;
using wall_clock = held_clock<std::chrono::system_clock>;
using instant = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

// Both clocks stand still for this thread. Not for what sleeps or waits in between.
class clocks_held {
public:
    clocks_held() { hold(true); }
    ~clocks_held() { hold(false); }
    clocks_held(const clocks_held&) = delete;
    clocks_held& operator=(const clocks_held&) = delete;

    // Something has come from outside: it is later than it was, held or not.
    static void something_came()
    {
        steady::at_ = {};
        wall_clock::at_ = {};
    }

private:
    static void hold(bool h)
    {
        steady::held_ = wall_clock::held_ = h;
        something_came();
    }
};

// Whole milliseconds, for wires and logs.
inline std::int64_t ms(duration d)
{
    return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

// "300" or "0.25": seconds for people, without trailing zeros below the millisecond.
inline std::string in_seconds(duration d)
{
    auto text = std::to_string(ms(d) / 1000);
    if (auto rest = ms(d) % 1000; rest != 0)
        text += "." + std::to_string(1000 + rest).substr(1);
    return text;
}

inline double seconds(duration d)
{
    return std::chrono::duration<double>(d).count();
}

}  // namespace gateway
