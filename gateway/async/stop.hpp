// Why a piece of work must end early, and what to do at that moment. Single-threaded. A `stop`
// belongs to one call; whoever waits for something on its behalf hangs a hook on it that closes the
// socket or wakes the timer it waits for, and looks at `requested()` when it resumes.
#pragma once

#include "base/clock.hpp"

#include <cstdint>
#include <functional>
#include <utility>

namespace gateway {

enum class stop_reason : std::uint8_t {
    none,
    client_gone,
    client_too_slow,  // its buffer is full: limits.client_buffer
    memory_full,      // what it has not read has no room: limits.memory
    silent,           // first_byte, idle or whole, and the model silent that long
    too_long,         // timeouts.total
    cancelled,        // by an operator or POST …/cancel
    draining,         // the gateway's grace is over
};

class stop {
public:
    stop() = default;
    stop(const stop&) = delete;
    stop& operator=(const stop&) = delete;

    bool requested() const { return why_ != stop_reason::none; }
    stop_reason why() const { return why_; }
    // When it was requested; meaningless before.
    instant since() const { return since_; }

    // The first reason stays. Runs the hooks, newest first, in this very call.
    void request(stop_reason why, instant now)
    {
        if (requested())
            return;
        why_ = why;
        since_ = now;
        for (hook* h = newest_; h != nullptr;) {
            hook* older = h->older_;
            h->act_();
            h = older;
        }
    }

    // Runs `act` when the stop is requested, at once if it already is. A hook's act neither
    // destroys other hooks nor throws.
    class hook {
    public:
        template <class F>
        hook(stop& on, F act) : on_(on), act_(std::move(act)), older_(on.newest_)
        {
            if (older_ != nullptr)
                older_->newer_ = this;
            on_.newest_ = this;
            if (on_.requested())
                act_();
        }
        ~hook()
        {
            (newer_ != nullptr ? newer_->older_ : on_.newest_) = older_;
            if (older_ != nullptr)
                older_->newer_ = newer_;
        }
        hook(const hook&) = delete;
        hook& operator=(const hook&) = delete;

    private:
        friend class stop;
        stop& on_;
        std::function<void()> act_;
        hook* older_;
        hook* newer_ = nullptr;
    };

private:
    stop_reason why_ = stop_reason::none;
    instant since_{};
    hook* newest_ = nullptr;
};

}  // namespace gateway
