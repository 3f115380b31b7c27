// The epoll loop of the load generator and the origin.
#include "bench/load/loop.hpp"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

namespace load {

loop::loop() : epoll_(epoll_create1(EPOLL_CLOEXEC))
{
    prctl(PR_SET_TIMERSLACK, 1UL);  // the default lets every deadline be 50 µs late
    std::signal(SIGPIPE, SIG_IGN);
}

loop::~loop()
{
    close(epoll_);
}

static void control(int epoll, int op, int fd, source& who, bool for_writing_too)
{
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | (for_writing_too ? EPOLLOUT : 0U);
    event.data.ptr = &who;
    epoll_ctl(epoll, op, fd, &event);
}

void loop::watch(int fd, source& who, bool for_writing_too)
{
    control(epoll_, EPOLL_CTL_ADD, fd, who, for_writing_too);
}

void loop::rewatch(int fd, source& who, bool for_writing_too)
{
    control(epoll_, EPOLL_CTL_MOD, fd, who, for_writing_too);
}

void loop::place(std::size_t at, source* who)
{
    deadlines_[at] = who;
    who->place_ = at;
}

void loop::sift_up(std::size_t at)
{
    auto* who = deadlines_[at];
    while (at > 0 && who->when_ < deadlines_[(at - 1) / 2]->when_) {
        place(at, deadlines_[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(at, who);
}

void loop::sift_down(std::size_t at)
{
    auto* who = deadlines_[at];
    for (;;) {
        auto child = 2 * at + 1;
        if (child >= deadlines_.size())
            break;
        if (child + 1 < deadlines_.size() &&
            deadlines_[child + 1]->when_ < deadlines_[child]->when_)
            ++child;
        if (who->when_ <= deadlines_[child]->when_)
            break;
        place(at, deadlines_[child]);
        at = child;
    }
    place(at, who);
}

void loop::at(nanos when, source& who)
{
    who.when_ = when;
    if (who.place_ == source::nowhere) {
        deadlines_.push_back(&who);
        who.place_ = deadlines_.size() - 1;
    }
    sift_up(who.place_);
    sift_down(who.place_);
}

void loop::cancel(source& who)
{
    auto hole = who.place_;
    if (hole == source::nowhere)
        return;
    who.place_ = source::nowhere;
    auto* last = deadlines_.back();
    deadlines_.pop_back();
    if (last == &who)
        return;
    place(hole, last);
    sift_up(hole);
    sift_down(last->place_);
}

void loop::turn(nanos until)
{
    auto next = deadlines_.empty() ? until : std::min(until, deadlines_.front()->when_);
    auto left = std::clamp<nanos>(next - now(), 0, 3600 * second);
    timespec timeout{left / second, left % second};
    std::array<epoll_event, 256> events;
    auto count = epoll_pwait2(epoll_, events.data(), int(events.size()), &timeout, nullptr);
    for (int i = 0; i < count && !stopped_; ++i)
        static_cast<source*>(events[std::size_t(i)].data.ptr)->ready();
    // Only what is due at this moment, so that overdue deadlines never shut out the descriptors.
    auto moment = now();
    while (!stopped_ && !deadlines_.empty() && deadlines_.front()->when_ <= moment) {
        auto* who = deadlines_.front();
        cancel(*who);
        who->due();
    }
}

void loop::run(nanos until)
{
    stopped_ = false;
    while (!stopped_ && now() < until)
        turn(until);
}

void raise_descriptor_limit()
{
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

}  // namespace load
