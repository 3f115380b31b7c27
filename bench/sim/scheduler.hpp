// Ollama's scheduler (server/sched.go) as a state machine: what is loaded, what waits for a load,
// what is evicted for it, and who holds which slot of a runner. Pure: time is an argument; who
// waits is told through a function.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bench/sim/model.hpp"

namespace sim {

// What a request asks of the scheduler.
struct want {
    model_ptr model;
    std::string options;  // explicit load-time options, canonical; differing ones mean a reload
                          // (sched.go:1381)
    int context = 0;      // num_ctx: what /api/ps shows when it is loaded for this
    std::optional<duration> keep_alive;
};

// A place in the FIFO of a runner's slots (llama_server.go:1536). Its owner keeps it alive until it
// is given back.
struct turn {
    std::function<void()> wake;
    bool granted = false;
};

struct runner {
    model_ptr model;
    std::string options;
    int context = 0;
    std::uint64_t size_vram = 0;
    duration session{};  // keep_alive in force; the last explicit one wins for everybody
    std::optional<instant> expires_at;  // written when it goes idle or is told to unload
    int refs = 0;                       // requests attached, with a slot or waiting for one
    int slots = 1;
    int busy = 0;
    int leaked = 0;  // of busy: never to come back
    bool evicted = false;
    bool unloading = false;
    bool asked_while_busy = false;  // to go, by a request or by an eviction, when calls were at it
    instant gone_at{};
    std::deque<turn*> line;

    bool idle() const { return refs == 0; }
    std::uint64_t needs() const { return model->needs(context, slots); }
};

using runner_ptr = std::shared_ptr<runner>;

struct ticket {
    enum class phase { queued, evicting, loading, seated, refused };

    want wanted;
    std::function<void()> wake;  // called whenever `at` changes
    phase at = phase::queued;
    bool abandoned = false;
    runner_ptr seat;    // when seated
    int status = 0;     // when refused
    std::string error;  // when refused
};

using ticket_ptr = std::shared_ptr<ticket>;

struct scheduler_limits {
    std::uint64_t vram = 0;  // 0: no end of it
    int num_parallel = 1;
    std::size_t max_queue = 512;
    int max_loaded = 3;  // Ollama's own for one GPU; 0: no limit but the VRAM
    duration keep_alive = std::chrono::minutes(5);
    duration unload = std::chrono::milliseconds(10);
    bool leak_queued = false;     // §3.3: nobody answers a request that was cancelled in the queue
    bool evict_deadlock = false;  // #17408: an explicit keep_alive takes back a pending eviction
};

struct load_plan {
    duration takes{};   // duration::max(): never ends
    std::string error;  // not empty: it fails so
    int status = 500;
};

// A load that has ended.
struct load_report {
    const want& wanted;
    std::string_view result;  // ok, failed, aborted
    instant began{};
    instant ended{};
    std::uint64_t size_vram = 0;   // when ok
    std::set<std::string> beside;  // models that had calls at some moment of it
};

class scheduler {
public:
    struct hooks {
        std::function<load_plan(const want&)> plan_load;
        std::function<bool(const runner&)> may_unload;
        std::function<void(const load_report&)> loaded;
        std::function<void(const runner&, std::string_view reason)> unloaded;
    };

    scheduler(scheduler_limits limits, hooks hooks);

    // Seated at once when a fitting runner is there, refused at once when the queue is full, else
    // queued.
    ticket_ptr ask(want wanted, std::function<void()> wake, instant now);
    // The client of a ticket that is not seated has gone. True: the handler returns at once. False:
    // Ollama does not notice; with leak_queued never, in an eviction when that is over.
    bool abandon(const ticket_ptr& who, instant now);
    // The request of a seated ticket has ended.
    void finish(runner& r, instant now);

    // Joins the line of the runner's slots; `t.granted` may be true when it returns.
    void line_up(runner& r, turn& t);
    void leave_line(runner& r, turn& t);
    // The holder of a granted turn is gone, and its slot with it (§3.4).
    void leak(runner& r);

    // keep_alive 0 with an empty prompt: asynchronous, a no-op for what is not loaded (§4.2).
    void unload(const std::string& blob, instant now);

    void advance(instant now);
    // Behind everybody's back: the model is there, or gone, at once; what is busy stays. False: it
    // stays as it was.
    bool put(const want& wanted, instant now);
    bool drop(const std::string& blob);

    // When advance() has something to do; instant::max() if never.
    instant next_due() const;

    std::vector<runner_ptr> loaded() const;
    std::size_t pending() const { return pending_.size(); }
    const ticket_ptr& current() const { return current_; }
    const scheduler_limits& limits() const { return limits_; }
    std::uint64_t used() const;  // bytes of VRAM
    // Everything is dropped, as by a restart. Waiting tickets are refused; runners in use live on,
    // unlisted, until their users let go.
    void clear(instant now);

private:
    runner_ptr find(const std::string& blob) const;
    int slots_of(const model_spec& m) const { return m.embedding ? 1 : limits_.num_parallel; }
    std::uint64_t needs(const want& wanted) const
    {
        return wanted.model->needs(wanted.context, slots_of(*wanted.model));
    }
    void move(const ticket_ptr& who, ticket::phase to);
    void seat(const ticket_ptr& who, const runner_ptr& r);
    void refuse(const ticket_ptr& who, int status, std::string error);
    void pump(instant now);
    void step(ticket_ptr who, instant now);
    void evict(const runner_ptr& victim, const ticket_ptr& who, instant now);
    void load(const ticket_ptr& who, instant now);
    void finish_load(instant now);
    runner_ptr add(const want& wanted);
    void report_load(const want& wanted, std::string_view result, instant now,
                     std::uint64_t size_vram = 0);
    void expire(runner& r, std::string reason, instant now);
    void grant(runner& r);

    scheduler_limits limits_;
    hooks hooks_;
    std::list<runner_ptr> loaded_;
    std::deque<ticket_ptr> pending_;
    ticket_ptr current_;  // what the pending loop is busy with
    runner_ptr victim_;
    load_plan plan_;
    instant load_started_{};
    instant load_done_ = instant::max();
    std::set<std::string> beside_;  // of the load that is out
    std::vector<std::pair<runner*, std::string>> reasons_;
};

}  // namespace sim
