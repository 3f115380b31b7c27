// Sockets, and what can be done with them now, told by edges: an epoll set of our own inside
// Asio's. Asio tries each read before it waits for it, so that of a stream of small pieces every
// second recv() fails; here a socket's owner remembers whether there may be something to read.
// Single-threaded.
#pragma once

#include "async/words.hpp"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace gateway {

class ready_set : public asio::io_context::service {
public:
    using key_type = ready_set;
    static inline asio::io_context::id id;

    explicit ready_set(asio::io_context& io);
    ~ready_set() override;
    static ready_set& of(asio::io_context& io) { return asio::use_service<ready_set>(io); }

    // A socket in the set, from its making until it leaves.
    class member {
    public:
        member(const member&) = delete;
        member& operator=(const member&) = delete;

    protected:
        // Non-blocking, and in nobody else's hands. Not joined: the kernel has no room for it.
        member(ready_set& set, int fd);
        ~member() { leave(); }
        bool joined() const { return set_ != nullptr; }
        void leave();  // before the socket is closed

        // EPOLL… flags, once for each change. It may destroy this.
        virtual void ready(std::uint32_t events) = 0;
        // The event loop is destroyed with all that waits in it.
        virtual void abandoned() = 0;

    private:
        friend class ready_set;
        ready_set* set_;
        int fd_;
        std::size_t slot_;
    };

    // Where one coroutine waits for such news. While any waits, the loop does not end.
    class place {
    public:
        using handler = asio::any_completion_handler<void()>;

        explicit place(ready_set& set) : set_(set) {}

        awaitable<void> wait()
        {
            co_await asio::async_initiate<const asio::deferred_t, void()>(
                [this](auto resume) {
                    // Boost 1.81 gets its assignment wrong: it calls itself without end.
                    handler(std::move(resume)).swap(waits_);
                    set_.one_more_waits();
                },
                asio::deferred);
        }
        // Takes out who waits, to resume it at once (from the event loop only) or later.
        handler take()
        {
            handler taken;
            if (waits_) {
                set_.one_less_waits();
                taken.swap(waits_);
            }
            return taken;
        }

    private:
        ready_set& set_;
        handler waits_;
    };

private:
    struct slot {
        member* who = nullptr;
        std::uint32_t generation = 0;  // of who stands there: an event may be for the one before
    };

    void shutdown() override;
    void one_more_waits();
    void one_less_waits();
    void arm();
    void look();

    asio::posix::stream_descriptor set_;
    std::vector<slot> slots_;
    std::vector<std::size_t> free_;
    std::size_t waiting_ = 0;
    bool armed_ = false;
};

}  // namespace gateway
