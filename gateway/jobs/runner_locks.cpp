#include "jobs/runner_locks.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace gateway {

namespace {

// A lock of the open file, not of the process: closing another descriptor does not lose it.
struct flock byte_of(std::int64_t runner)
{
    struct flock l {};
    l.l_type = F_WRLCK;
    l.l_whence = SEEK_SET;
    l.l_start = runner;
    l.l_len = 1;
    return l;
}

}  // namespace

runner_locks::runner_locks(const std::string& store)
    : fd_(::open((store + "-runners").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600))
{
}

runner_locks::~runner_locks()
{
    if (fd_ >= 0)
        ::close(fd_);
}

bool runner_locks::hold(std::int64_t runner)
{
    auto l = byte_of(runner);
    return fd_ >= 0 && ::fcntl(fd_, F_OFD_SETLK, &l) == 0;
}

bool runner_locks::alive(std::int64_t runner) const
{
    auto l = byte_of(runner);
    return fd_ < 0 || ::fcntl(fd_, F_OFD_GETLK, &l) != 0 || l.l_type != F_UNLCK;
}

}  // namespace gateway
