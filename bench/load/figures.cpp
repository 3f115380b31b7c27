// Histogram, JSON and CPU time.
#include "bench/load/figures.hpp"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <numeric>

namespace load {

void histogram::add(nanos t)
{
    t = std::max<nanos>(t, 0);
    longest_ = std::max(longest_, t);
    ++count_;
    auto value = std::uint64_t(t);
    auto power = std::bit_width(value >> fine);  // 0: exact below 2^fine
    auto shift = power == 0 ? 0 : power - 1;
    ++buckets_[(std::size_t(power) << fine) + ((value >> shift) & ((1U << fine) - 1))];
}

nanos histogram::percentile(double p) const
{
    auto wanted = std::uint64_t(std::ceil(p / 100 * double(count_)));
    std::uint64_t seen = 0;
    for (std::size_t at = 0; at < buckets_.size() && count_ > 0; ++at) {
        seen += buckets_[at];
        if (seen < std::max<std::uint64_t>(wanted, 1))
            continue;
        auto power = at >> fine;
        auto low = at & ((1U << fine) - 1);
        if (power == 0)
            return nanos(low);
        auto lowest = (low + (1U << fine)) << (power - 1);
        auto middle = lowest + ((std::size_t{1} << (power - 1)) >> 1);
        return std::min(nanos(middle), longest_);
    }
    return longest_;
}

void report::name(std::string_view name)
{
    if (!fields_.empty())
        fields_ += ", ";
    fields_ += '"';
    fields_ += name;
    fields_ += "\": ";
}

void report::text(std::string_view of, std::string_view value)
{
    name(of);
    fields_ += '"';
    fields_ += value;
    fields_ += '"';
}

void report::number(std::string_view of, double value)
{
    name(of);
    char digits[40];
    std::snprintf(digits, sizeof digits, "%.10g", std::isfinite(value) ? value : 0.0);
    fields_ += digits;
}

void report::times(std::string_view of, const histogram& h)
{
    auto one = [&](const char* what, nanos t) { number(std::string(of) + what, double(t) / 1e3); };
    one("_p50_us", h.percentile(50));
    one("_p90_us", h.percentile(90));
    one("_p99_us", h.percentile(99));
    one("_max_us", h.longest());
}

nanos cpu_time(const watched& of)
{
    // The process CPU clock is exact to the nanosecond and includes threads that run at this moment
    // and those that have ended; /proc/PID/stat has ticks of 10 ms.
    nanos sum = 0;
    for (auto pid : of.pids) {
        clockid_t clock{};
        timespec t{};
        if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0)
            sum += t.tv_sec * second + t.tv_nsec;
    }
    return sum;
}

double resident_bytes(const watched& of)
{
    double sum = 0;
    for (auto pid : of.pids) {
        std::ifstream status("/proc/" + std::to_string(pid) + "/status");
        for (std::string line; std::getline(status, line);)
            if (line.starts_with("VmRSS:"))
                sum += std::strtod(line.c_str() + 6, nullptr) * 1024;
    }
    return sum;
}

// Busy time of all cores since boot, stolen time included; in ticks of 10 ms.
static nanos machine_time()
{
    std::ifstream stat("/proc/stat");
    std::string word;
    nanos user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softirq = 0, steal = 0;
    stat >> word >> user >> nice >> system >> idle >> waiting >> irq >> softirq >> steal;
    return (user + nice + system + irq + softirq + steal) * (second / sysconf(_SC_CLK_TCK));
}

cpu_window::cpu_window(std::vector<watched> of) : of_(std::move(of))
{
    of_.push_back({"load", {getpid()}});
    used_.resize(of_.size());
}

void cpu_window::begin()
{
    machine_ = -machine_time();
    for (std::size_t i = 0; i < of_.size(); ++i)
        used_[i] = -cpu_time(of_[i]);
    began_ = now();
}

void cpu_window::end()
{
    machine_ += machine_time();
    for (std::size_t i = 0; i < of_.size(); ++i)
        used_[i] += cpu_time(of_[i]);
    ended_ = now();
}

void cpu_window::tell(report& to, double per) const
{
    auto watched = std::accumulate(used_.begin(), used_.end(), nanos{0});
    to.number("cpu_others_share", std::max(0.0, double(machine_ - watched)) / double(length()));
    for (std::size_t i = 0; i < of_.size(); ++i) {
        to.number("cpu_" + of_[i].name + "_share", double(used_[i]) / double(length()));
        if (per > 0)
            to.number("cpu_" + of_[i].name + "_us", double(used_[i]) / 1e3 / per);
    }
}

}  // namespace load
