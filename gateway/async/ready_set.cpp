#include "async/ready_set.hpp"

#include "base/clock.hpp"

#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

#include <sched.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <new>
#include <utility>

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

ready_set::member::member(ready_set& set, int fd, awaited by_itself)
    : set_(nullptr), by_itself_(by_itself)
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
    if (by_itself_ == awaited::yes)
        set.one_more_waits();
}

void ready_set::member::leave()
{
    if (set_ == nullptr)
        return;
    auto& s = set_->slots_[slot_];
    s.who = nullptr;
    ++s.generation;
    set_->free_.push_back(slot_);
    if (by_itself_ == awaited::yes)
        set_->one_less_waits();
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
    if (--waiting_ == 0 && armed_ && !down_)
        set_.cancel(ignored);
}

void ready_set::arm()
{
    if (armed_ || looking_ || waiting_ == 0 || down_)
        return;
    set_.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code) { look(); });
    armed_ = true;
}

void ready_set::look()
{
    armed_ = false;
    tell_and_call();
    arm();
    // Whatever wanted the memory is over; the others have been told all the same.
    if (std::exchange(refused_, false))
        throw std::bad_alloc();
}

void ready_set::tell_and_call()
{
    struct until_over {
        bool& looking;
        explicit until_over(bool& l) : looking(l) { looking = true; }
        ~until_over() { looking = false; }
    } armed_afterwards(looking_);
    will_call_ = true;
    tell();
    // Somebody has left, and the connection that was closed for it is another program's news: which
    // may stand behind us on this very processor. It goes first: to clear one away takes as long as
    // the news itself. Where more stand there, it costs a slice of time, once for all who leave
    // together.
    if (hurry_)
        ::sched_yield();
    call_due();
}

void ready_set::tell()
{
    std::array<epoll_event, at_once> events;
    for (int round = 0; round < rounds; ++round) {
        int n = ::epoll_wait(set_.native_handle(), events.data(), int(events.size()), 0);
        for (int i = 0; i < n; ++i) {
            auto which = events[std::size_t(i)].data.u64;
            auto& s = slots_[which & 0xffff'ffff];
            if (s.who == nullptr || s.generation != which >> 32)
                continue;
            try {
                s.who->ready(events[std::size_t(i)].events);
            } catch (const std::bad_alloc&) {
                refused_ = true;
            }
        }
        if (n <= 0 || (n < int(events.size()) && !hurry_))
            return;
    }
}

void ready_set::later(place& p)
{
    if (down_)
        return;
    due_.push_back(p);
    if (!will_call_)
        call_soon();
}

void ready_set::call_soon()
{
    asio::post(set_.get_executor(), [this] { call_due(); });
    will_call_ = true;
}

void ready_set::call_due()
{
    for (int round = 0; round < rounds && !due_.empty(); ++round) {
        decltype(due_) now;
        now.swap(due_);
        while (!now.empty()) {
            auto& p = now.front();
            now.pop_front();
            try {
                clocks_held until_it_waits;
                if (auto resume = p.take())
                    std::move(resume)();  // it may destroy the place
            } catch (const std::bad_alloc&) {
                refused_ = true;
            }
            if (hurry_)
                tell();
        }
    }
    hurry_ = false;
    will_call_ = false;
    if (!due_.empty())
        call_soon();
}

// Boost 1.83 and later do it twice: who is still there now may be gone the second time.
void ready_set::shutdown()
{
    if (std::exchange(down_, true))
        return;
    due_.clear();
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
