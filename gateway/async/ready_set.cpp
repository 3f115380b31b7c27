#include "async/ready_set.hpp"

#include <boost/system/system_error.hpp>

#include <sys/epoll.h>

#include <array>
#include <cerrno>

namespace gateway {

namespace {

// Looked at in one wake-up before Asio's other events have their turn.
constexpr std::size_t at_once = 128;
constexpr int rounds = 4;

int new_set()
{
    int fd = ::epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        throw boost::system::system_error(errno, boost::system::system_category(), "epoll_create1");
    return fd;
}

}  // namespace

ready_set::ready_set(asio::io_context& io) : asio::io_context::service(io), set_(io, new_set()) {}

ready_set::~ready_set() = default;

ready_set::member::member(ready_set& set, int fd) : set_(nullptr), fd_(fd)
{
    if (set.free_.empty()) {
        set.free_.push_back(set.slots_.size());
        set.slots_.emplace_back();
    }
    slot_ = set.free_.back();
    auto& s = set.slots_[slot_];
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    e.data.u64 = std::uint64_t(s.generation) << 32 | slot_;
    if (::epoll_ctl(set.set_.native_handle(), EPOLL_CTL_ADD, fd, &e) != 0)
        return;
    set.free_.pop_back();
    set_ = &set;
    s.who = this;
}

void ready_set::member::leave()
{
    if (set_ == nullptr)
        return;
    ::epoll_ctl(set_->set_.native_handle(), EPOLL_CTL_DEL, fd_, nullptr);
    auto& s = set_->slots_[slot_];
    s.who = nullptr;
    ++s.generation;
    set_->free_.push_back(slot_);
    set_ = nullptr;
}

void ready_set::one_more_waits()
{
    ++waiting_;
    arm();
}

void ready_set::one_less_waits()
{
    error_code ignored;
    if (--waiting_ == 0 && armed_)
        set_.cancel(ignored);
}

void ready_set::arm()
{
    if (armed_ || waiting_ == 0)
        return;
    armed_ = true;
    set_.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code) {
        armed_ = false;
        look();
        arm();
    });
}

void ready_set::look()
{
    std::array<epoll_event, at_once> events;
    for (int round = 0; round < rounds; ++round) {
        int n = ::epoll_wait(set_.native_handle(), events.data(), int(events.size()), 0);
        for (int i = 0; i < n; ++i) {
            auto which = events[std::size_t(i)].data.u64;
            auto& s = slots_[which & 0xffff'ffff];
            if (s.who != nullptr && s.generation == which >> 32)
                s.who->ready(events[std::size_t(i)].events);
        }
        if (n < int(events.size()))
            return;
    }
}

void ready_set::shutdown()
{
    waiting_ = 0;
    for (std::size_t i = 0; i < slots_.size(); ++i)
        if (auto* who = slots_[i].who)
            who->abandoned();
    // Who is still there outlives the loop, and has nothing to leave any more.
    for (auto& s : slots_)
        if (s.who != nullptr)
            s.who->set_ = nullptr;
    error_code ignored;
    set_.close(ignored);
}

}  // namespace gateway
