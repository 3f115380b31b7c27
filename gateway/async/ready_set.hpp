// Sockets, and what can be done with them now, told by edges: an epoll set of our own inside
// Asio's. Asio tries each read before it waits for it, so that of a stream of small pieces every
// second recv() fails; here a socket's owner remembers whether there may be something to read.
// Single-threaded.
#pragma once

#include "async/words.hpp"

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/intrusive/list.hpp>

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
    // Found by a walk along the list of services: who needs it often keeps it.
    static ready_set& of(asio::io_context& io) { return asio::use_service<ready_set>(io); }

    // A socket in the set, from its making until it leaves.
    class member {
    public:
        member(const member&) = delete;
        member& operator=(const member&) = delete;

    protected:
        // One that is `awaited` by itself keeps the loop going as long as it is in the set; else
        // only who waits in a `place` does.
        enum class awaited : bool { no, yes };

        // Non-blocking, and in nobody else's hands. Not joined: the kernel has no room for it.
        member(ready_set& set, int fd, awaited by_itself);
        ~member() { leave(); }
        bool joined() const { return set_ != nullptr; }
        // The socket is closed now, and nobody else has it open: with that the kernel forgets it.
        void leave();
        // More like this one may be there by now, and what is done about it can wait for them.
        void look_for_more() { set_->hurry_ = true; }

        // EPOLL… flags, once for each change. It destroys no member: who is woken goes on when all
        // that is ready has been told.
        virtual void ready(std::uint32_t events) = 0;
        // The event loop is destroyed with all that waits in it.
        virtual void abandoned() = 0;

    private:
        friend class ready_set;
        ready_set* set_;
        std::size_t slot_;
        awaited by_itself_;
    };

    // Where one coroutine, or one function, waits to be woken. While any waits, the loop does not
    // end.
    class place : public boost::intrusive::list_base_hook<
                      boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    public:
        explicit place(ready_set& set) : set_(set) {}
        place(const place&) = delete;
        place& operator=(const place&) = delete;

        // To be awaited at once, by one at a time; `woken` at once: it goes on when all who are to
        // go on now have. Not a coroutine of its own: there is one wait for each piece of a stream.
        auto wait(bool woken = false)
        {
            return asio::async_initiate<const asio::deferred_t, void()>(enlist{this, woken},
                                                                        asio::deferred);
        }
        // It is called when all who are to go on now have.
        template <class Next>
        void then(Next next)
        {
            enlist{this, true}(std::move(next));
        }
        bool waits() const { return static_cast<bool>(waits_); }
        // Whoever waits goes on when all that is ready now has been told, in the order of these
        // calls: so many that leave at once are all noticed before anything is done about the
        // first.
        void wake()
        {
            if (waits_ && !is_linked())
                set_.later(*this);
        }
        // Nobody waits any more: the event loop is destroyed.
        void drop() { auto dropped = take(); }

    private:
        friend class ready_set;
        using handler = asio::any_completion_handler<void()>;
        struct enlist {
            place* here;
            bool woken;
            template <class Handler>
            void operator()(Handler resume) const
            {
                // Boost 1.81 gets its assignment wrong: it calls itself without end.
                handler(std::move(resume)).swap(here->waits_);
                here->set_.one_more_waits();
                if (woken)
                    here->wake();
            }
        };
        handler take()
        {
            handler taken;
            if (waits_) {
                set_.one_less_waits();
                taken.swap(waits_);
            }
            return taken;
        }

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
    void tell();
    void later(place& p);
    void call_soon();
    void call_due();
    void look();
    void tell_and_call();

    asio::posix::stream_descriptor set_;
    std::vector<slot> slots_;
    std::vector<std::size_t> free_;
    std::size_t waiting_ = 0;
    bool armed_ = false;
    bool down_ = false;
    boost::intrusive::list<place, boost::intrusive::constant_time_size<false>> due_;
    bool will_call_ = false;  // due_ is looked at anyway
    bool looking_ = false;    // it is armed when that is over, not by each who waits anew
    bool hurry_ = false;
    bool refused_ = false;  // memory, to something that was told or called
};

// Returns when all who are to go on now have.
inline awaitable<void> others_first(ready_set& set)
{
    ready_set::place here(set);
    co_await here.wait(true);
}

}  // namespace gateway
