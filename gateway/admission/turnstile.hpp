// Whose turn it is: a fair queue before a number of permits, decided without I/O. One turnstile
// stands before each pool (generations, embeddings) of each upstream. Pure: time is an argument.
//
// Invariants (tests/admission): a permit is never lost nor given twice; the sum of weights running
// is never over the capacity (but for one visitor heavier than it, which runs alone), per model
// never over its limit; FIFO within a client and class; nobody starves.
#pragma once

#include "base/clock.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

struct visitor {
    std::string client;
    std::string model;
    bool background = false;
    unsigned weight = 1;  // permits it needs
};

class turnstile {
public:
    using ticket = std::uint64_t;  // never 0, never used twice

    struct limits {
        unsigned capacity = 3;
        std::size_t max_waiting = 512;
        std::size_t max_waiting_per_client = 0;  // 0: no more than there are free places
        duration max_wait{};                     // 0: for ever
    };

    enum class answer : std::uint8_t { granted, waiting, full, client_full, too_long };

    struct arrival {
        answer what;
        ticket id = 0;        // 0 when refused
        int retry_after = 0;  // seconds, 1…60, when refused: from the real queue
    };

    explicit turnstile(limits l);
    ~turnstile();
    turnstile(turnstile&&) noexcept;
    turnstile& operator=(turnstile&&) noexcept;

    // A visitor comes. Granted at once when a permit is free, its model is open and nobody stands
    // before it; else it waits or is refused (SPEC §5 "Full"). O(log n), and O(number of models
    // that have visitors waiting), as all below.
    arrival arrive(visitor v, instant now);

    // Who may go now that something has changed; each is granted when returned. Call until empty
    // after finish, leave, put_back, set_limits, limit_model, open, unblock; and now and then, for
    // a background visitor whose half hour is over may let itself or others go. O(log n) each.
    std::optional<ticket> next(instant now);

    // A waiting visitor gives up. O(log n).
    void leave(ticket t);

    // A running visitor gives its permit back. `service`: how long it ran, for the average; none
    // when it did not run to its end.
    void finish(ticket t, std::optional<duration> service);

    // A running visitor goes back to the very head of the queue, permit given back: nothing of it
    // was done (upstream refused the connection or said "server busy"). Several are in the order of
    // their grants. It counts as waiting, over max_waiting if need be, and costs its client no
    // second turn.
    void put_back(ticket t);

    // Configuration was read again. Running visitors keep their permits.
    void set_limits(limits l);
    // At most n calls of a model run; 0: no limit of its own.
    void limit_model(std::string_view model, unsigned n);
    // While closed nothing is granted (upstream down); arrivals wait.
    void open(bool is_open);
    // While a model is blocked (unloading) nothing of it is granted; the others go on.
    void block(std::string_view model);
    void unblock(std::string_view model);

    // How many would be served before it, plus one, if nobody came or left. 0 when it does not
    // wait.
    std::size_t position(ticket t) const;
    // Until its start, from the moving average of each model's service time; none until there is
    // one for all that run or go before it, and none while it cannot start (closed, its model
    // blocked).
    std::optional<duration> eta(ticket t, instant now) const;

    // The same for the one who stands last; nothing when nobody waits.
    std::optional<duration> eta_of_last(instant now) const;
    // The models that somebody waits for, in no order.
    std::vector<std::string> models_waited_for() const;

    std::size_t waiting() const;
    std::size_t waiting(std::string_view model) const;
    std::size_t waiting_of_client(std::string_view client) const;
    unsigned in_use() const;                            // weights running
    std::size_t running(std::string_view model) const;  // visitors running
    unsigned capacity() const;
    std::optional<instant> oldest() const;  // arrival of the longest-waiting visitor

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace gateway
