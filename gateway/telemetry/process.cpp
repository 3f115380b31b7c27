// process_* as every Prometheus client tells them; prometheus-cpp does not.
#include "telemetry/metrics.hpp"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace gateway {
namespace {

std::size_t open_descriptors()
{
    std::size_t n = 0;
    if (auto* d = ::opendir("/proc/self/fd")) {
        while (auto* e = ::readdir(d))
            n += e->d_name[0] != '.';
        ::closedir(d);
        --n;  // the directory itself
    }
    return n;
}

// Seconds since the epoch at which this process started.
double start_time()
{
    static const double at = [] {
        std::ifstream stat("/proc/self/stat");
        std::string line;
        std::getline(stat, line);
        std::istringstream rest(line.substr(line.rfind(')') + 2));
        std::string word;
        for (int field = 3; field <= 22; ++field)
            rest >> word;
        std::ifstream boot("/proc/stat");
        double booted = 0;
        for (std::string l; std::getline(boot, l);)
            if (l.rfind("btime ", 0) == 0)
                booted = std::stod(l.substr(6));
        return booted + std::stod(word) / double(::sysconf(_SC_CLK_TCK));
    }();
    return at;
}

gauge_family one(std::string name, std::string help, double value, bool counter = false)
{
    return {std::move(name), std::move(help), {{{}, value}}, counter};
}

}  // namespace

std::vector<gauge_family> process_gauges()
{
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    std::ifstream statm("/proc/self/statm");
    double pages_virtual = 0, pages_resident = 0;
    statm >> pages_virtual >> pages_resident;
    auto page = double(::sysconf(_SC_PAGESIZE));
    auto time = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
    return {
        one("process_cpu_seconds_total", "Processor time used, user and system.",
            time(used.ru_utime) + time(used.ru_stime), true),
        one("process_resident_memory_bytes", "Resident memory.", pages_resident * page),
        one("process_virtual_memory_bytes", "Virtual memory.", pages_virtual * page),
        one("process_open_fds", "Open file descriptors.", double(open_descriptors())),
        one("process_max_fds", "How many file descriptors may be open.", double(files.rlim_cur)),
        one("process_start_time_seconds", "When the process started, Unix time.", start_time()),
    };
}

}  // namespace gateway
