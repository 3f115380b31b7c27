// What a run has measured: a histogram of times, CPU time of processes over a window, one JSON
// object.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load/clock.hpp"

namespace load {

// Counts of times in buckets at most 0.8 % wide; the longest is kept exactly. Negative times count
// as 0.
class histogram {
public:
    void add(nanos t);
    nanos percentile(double p) const;  // 0 when empty
    nanos longest() const { return longest_; }
    std::uint64_t count() const { return count_; }

private:
    static constexpr int fine = 7;  // 2^7 buckets for each power of two
    std::array<std::uint64_t, std::size_t(64 - fine + 1) << fine> buckets_{};
    std::uint64_t count_ = 0;
    nanos longest_ = 0;
};

// One flat JSON object on one line.
class report {
public:
    void text(std::string_view name, std::string_view value);
    void number(std::string_view name, double value);
    // p50, p99 and max in microseconds: "NAME_p50_us", …
    void times(std::string_view name, const histogram& of);
    std::string line() const { return "{" + fields_ + "}"; }

private:
    void name(std::string_view name);
    std::string fields_;
};

// A process by its name in the report; CPU of all its threads, the kernel's work on its behalf
// included.
struct watched {
    std::string name;
    std::vector<pid_t> pids;
};

nanos cpu_time(const watched& of);
double resident_bytes(const watched& of);

// CPU time of the watched processes and of this one between begin() and end().
class cpu_window {
public:
    explicit cpu_window(std::vector<watched> of);
    void begin();
    void end();
    nanos length() const { return ended_ - began_; }
    nanos used(std::size_t which) const { return used_[which]; }
    // "cpu_others_share": what everything else on the machine used; when that is much, others
    // disturbed. "cpu_NAME_share" (of one core) and, for `per` > 0 units of work, "cpu_NAME_us".
    void tell(report& to, double per) const;

private:
    std::vector<watched> of_;
    std::vector<nanos> used_;
    nanos machine_ = 0;
    nanos began_ = 0;
    nanos ended_ = 0;
};

}  // namespace load
