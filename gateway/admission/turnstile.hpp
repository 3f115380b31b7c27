// Whose turn it is: a fair queue before the permits of several upstreams ("places"), decided
// without I/O. One turnstile stands before the generations, another before the embeddings. Pure:
// time is an argument; what the models are up to is asked of `doors`.
//
// Invariants (tests/admission): a permit is never lost nor given twice; the sum of weights running
// at a place is never over its capacity (but for one visitor heavier than it, which runs alone
// there, and one that was let in past the door), per model and place never over its limit; nobody
// starts at a place whose door is shut to its lane; FIFO within a client, class and lane (errands
// are a class of their own); nobody starves among those whose doors are open.
#pragma once

#include "base/clock.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

using place_id = unsigned;        // index of an upstream, below most_places
using place_set = std::uint64_t;  // bit p: place p
inline constexpr place_id most_places = 64;

// What makes calls interchangeable: who waits in the same lane may start at the same places.
struct lane_key {
    std::string model;     // the name its runner is known by (models/ledger.hpp)
    std::string options;   // load-time options, canonical (call/load_options.hpp)
    place_set barred = 0;  // places it may not go to: they do not have it, or it failed there
    auto operator<=>(const lane_key&) const = default;
};

// A lane that calls wait in, and how often it was passed (turnstile::lane_view).
struct waiting_lane {
    const lane_key* lane = nullptr;
    std::size_t passed = 0;
    instant passed_since = instant::max();
};

// How such a lane would come to its model, as far as that can be said now; for positions only.
struct outlook {
    place_set ready = 0;  // its model is ready there, be it held back at this moment
    // When it is ready nowhere: it is being loaded, or needs nobody's room …
    bool comes = false;
    place_id at = 0;  // … there; or else, in place of these, once nobody wants them or
    std::vector<std::string> in_place_of;  // the lane was passed over to its bound. None: never.
    bool beside = false;                   // and they stay
    std::size_t owed = 0;                  // so many calls of theirs go first even then
    std::size_t owed_after_swap = 0;       // the same of any lane that was swapped in
    std::size_t most_passed = 0;           // the bound: so often, or for so long
    duration longest_passed{};
    duration passed_for{};  // until now
};

// Which places would take a call of a lane now, as far as the model there goes: it is ready and
// nothing is held back for a swap. Capacity, limits and open() are the turnstile's own business.
class doors {
public:
    virtual ~doors() = default;
    virtual place_set open_to(const lane_key& lane) const = 0;
    // One for each, in their order.
    virtual std::vector<outlook> outlooks(const std::vector<waiting_lane>& lanes,
                                          instant /*now*/) const
    {
        std::vector<outlook> all(lanes.size());
        for (std::size_t i = 0; i < lanes.size(); ++i)
            all[i].ready = open_to(*lanes[i].lane);
        return all;
    }
};

struct visitor {
    std::string client;
    lane_key lane;
    bool background = false;
    unsigned weight = 1;  // permits it needs
    // Needs no permit and no waiting place, only the model: a client's load request. It is never
    // refused, goes past all calls once a door is open to it, takes nobody's turn, and counts in no
    // limit, no length, no average. Its weight is nothing.
    bool errand = false;
};

class turnstile {
public:
    using ticket = std::uint64_t;  // never 0, never used twice

    struct limits {
        std::size_t max_waiting = 512;
        std::size_t max_waiting_per_client = 0;  // 0: no more than there are free places
        duration max_wait{};                     // 0: for ever
    };

    enum class answer : std::uint8_t { granted, waiting, full, client_full, too_long };

    struct arrival {
        answer what;
        ticket id = 0;        // 0 when refused
        place_id place = 0;   // when granted
        int retry_after = 0;  // seconds, 1…60, when refused: from the real queue
    };
    struct grant {
        ticket id = 0;
        place_id place = 0;
        bool operator==(const grant&) const = default;
    };

    // `at` must outlive it. Places begin open, with no permit.
    turnstile(limits l, const doors& at, place_id places);
    ~turnstile();
    turnstile(turnstile&&) noexcept;
    turnstile& operator=(turnstile&&) noexcept;

    // A visitor comes. Granted at once when a permit is free at a place whose door is open to it
    // and nobody who could start there stands before it; else it waits or is refused (SPEC §5
    // "Full"). O(log n), and O(lanes with visitors × places), as all below.
    arrival arrive(const visitor& v, instant now);

    // Who may go now that something has changed, and where; each is granted when returned. Call
    // until empty after finish, leave, put_back, move, set_*, limit_model, open, and whenever a
    // door may have opened; and now and then, for a background visitor whose half hour is over.
    //
    // The first in order among those whose door is open somewhere goes first. If it needs more
    // permits than are free at each place open to it, nobody behind it goes to these places: the
    // permits are kept for it. Those who cannot start anywhere because their doors are shut or
    // their model is at its limit keep their place in the order and hold nobody up. Errands neither
    // wait for permits nor have any kept from them.
    //
    // Of several places that would take it: the one that last served this client and model, else
    // the least busy one (in_use / capacity), else the first.
    std::optional<grant> next(instant now);

    // Lets a waiting visitor in past a door that is shut to it, whatever the limits (a call that
    // goes directly, alone). False when it does not wait, or there is no such place.
    bool let_in(ticket t, place_id p, instant now);

    // A waiting visitor gives up. O(log n).
    void leave(ticket t);

    // A running visitor gives its permit back. `service`: how long it ran, for the average of its
    // model; none when it did not run to its end.
    void finish(ticket t, std::optional<duration> service);

    // A running visitor goes back to the very head of the queue, permit given back: nothing of it
    // was done (upstream refused the connection or said "server busy"). Several are in the order of
    // their grants. It counts as waiting, over max_waiting if need be, and costs its client no
    // second turn.
    void put_back(ticket t);

    // A waiting visitor goes over to another lane (a fallback, other places), and keeps its place
    // in the order. Nothing when it does not wait (put_back first).
    void move(ticket t, const lane_key& to);

    // Configuration was read again. Running visitors keep their permits.
    void set_limits(limits l);
    void set_capacity(place_id p, unsigned permits);
    // At most n calls of a model run at a place, over all its lanes; 0: no limit of its own.
    void limit_model(place_id p, std::string_view model, unsigned n);
    // While closed nothing is granted there (upstream down).
    void open(place_id p, bool is_open);

    // How many calls would be served before it, plus one, if nobody came or left: what is ready
    // goes before what would force a load, within the bounds of the doors' outlook. Of those that
    // wait no two have the same, and none is above waiting(). 0 when it does not wait, and for an
    // errand, which takes nobody's turn. With many waiting in lanes that may not start at the same
    // places the order is looked at anew only some times a second; until then who came since stands
    // behind all others.
    std::size_t position(ticket t, instant now) const;
    // Until its start, from the moving average of each model's service time; none until there is
    // one for all that run or go before it, none while it cannot start (all places closed or
    // barred, its doors shut), and none for an errand.
    std::optional<duration> eta(ticket t, instant now) const;
    // The same for the call that stands last; nothing when none waits.
    std::optional<duration> eta_of_last(instant now) const;

    // --- for whoever decides what is loaded next ---

    // A lane with waiting visitors. Valid until the turnstile changes.
    struct lane_view {
        const lane_key* lane = nullptr;
        std::size_t waiting = 0;  // visitors, errands too
        ticket first = 0;         // the head's
        std::string_view client;  // the head's
        instant oldest{};         // arrival of its head
        // How often a call of another lane was granted though this head stood before it and no door
        // was open to it at an open place, since this lane was last granted anything (or was
        // empty); and when that first happened (instant::max(): never). Errands pass nobody.
        std::size_t passed = 0;
        instant passed_since = instant::max();
    };
    // In the order of their heads.
    std::vector<lane_view> lanes() const;
    bool anybody_waits() const { return waiting_all() != 0; }
    // Where a call of that client and model last gave its permit back by finish(), so that its
    // prompt may still be cached there; none when not remembered (some thousands are).
    std::optional<place_id> last_served(std::string_view client, std::string_view model) const;

    // --- counts ---

    std::size_t waiting() const;                                   // without errands
    std::size_t waiting_all() const;                               // with errands
    std::size_t waiting(std::string_view model) const;             // without errands
    std::size_t waiting_of_client(std::string_view client) const;  // without errands
    unsigned in_use(place_id p) const;                             // weights running there
    unsigned in_use() const;
    std::size_t running(std::string_view model) const;  // visitors running, without errands
    std::size_t running(place_id p, std::string_view model) const;
    unsigned capacity(place_id p) const;
    unsigned capacity() const;              // of all places
    std::optional<instant> oldest() const;  // arrival of the longest-waiting call
    // The models that somebody waits for, errands too, in no order, each once.
    std::vector<std::string> models_waited_for() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace gateway
