// The turnstile with people before it: who waits is woken when its turn has come. A permit is an
// object; its destructor gives it back or leaves the queue, whichever it was.
#pragma once

#include "admission/turnstile.hpp"
#include "async/event.hpp"
#include "async/stop.hpp"
#include "call/attempt.hpp"
#include "call/fault.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace gateway {

class admission;

// Why those who wait in a lane will not get what they wait for there: told to them instead of a
// permit. What follows (another upstream, a fallback, an error) is theirs to decide.
struct bad_news {
    place_id place = 0;
    outcome how = outcome::upstream_failed;
    fault why;
    int status = 0;    // upstream_status: what Ollama said to the load
    std::string body;  // and its words
    duration took{};   // the load
};

// A place in the queue, then a slot at an upstream.
class permit {
public:
    permit(admission& at, visitor v);  // arrives
    ~permit();
    permit(const permit&) = delete;
    permit& operator=(const permit&) = delete;

    turnstile::answer arrival() const { return arrival_.what; }
    int retry_after() const { return arrival_.retry_after; }
    bool granted() const { return granted_; }
    place_id place() const { return arrival_.place; }  // when granted
    bool directly() const { return directly_; }        // let in past the door, alone
    const lane_key& lane() const { return lane_; }
    const admission& room() const { return at_; }

    // Returns when granted, when `s` was requested, when give_up() was called, or with news.
    awaitable<void> turn(stop& s);
    // It is not worth waiting longer: turn() returns without a grant.
    void give_up();
    bool given_up() const { return given_up_; }
    // Bad news that came since it was last asked.
    std::unique_ptr<bad_news> take_news();

    // 0: it does not wait, or takes nobody's turn.
    std::size_t position() const;
    std::optional<duration> eta(instant now) const;

    // The work is done: gives it back now; `service` enters the model's average. True when somebody
    // who waits has got it, or another that was free.
    bool finish(std::optional<duration> service);
    // Nothing of the work was done: back to the head of the queue, to wait for another turn.
    void put_back();
    // It waits for something else now, at the same place in the order; a granted one is put back
    // and moved in one step, so that it is not granted where it comes from in between. News of the
    // lane it leaves are dropped.
    void move(lane_key to);

private:
    friend class admission;
    void begin_to_wait();
    void stand_in_front();
    void wake();
    void direct_is_over();

    admission& at_;
    turnstile::arrival arrival_;
    lane_key lane_;
    bool granted_ = false;
    bool directly_ = false;
    bool given_up_ = false;
    std::unique_ptr<bad_news> news_;
    std::optional<event> woken_;  // only who waits needs one
};

class admission {
public:
    admission(asio::io_context& io, turnstile::limits l, const doors& at, place_id places)
        : ready_(ready_set::of(io)), order_(l, at, places)
    {
    }

    // Whatever changes who may go ends here: wakes those whose turn has come.
    void set_limits(turnstile::limits l);
    void set_capacity(place_id p, unsigned permits);
    void limit_model(place_id p, std::string_view model, unsigned n);
    void open(place_id p, bool is_open);
    // Doors may have opened. True when somebody goes.
    bool wake();
    // Lets the waiting owner of that ticket in past the door.
    void let_in(turnstile::ticket t, place_id p);
    // Tells everybody who waits in that lane. They are woken, keep their places, and decide.
    void tell(const lane_key& lane, const bad_news& news);
    // Told whenever somebody begins to wait, gets a permit, gives one back, leaves or moves: what
    // is to be loaded may have to be thought over. Called within those steps; it must only take a
    // note.
    void on_change(std::function<void()> f) { changed_ = std::move(f); }
    // Told when one that was let in past the door is no longer in there.
    void on_direct_over(std::function<void(place_id)> f) { direct_over_ = std::move(f); }

    const turnstile& view() const { return order_; }

private:
    friend class permit;
    void granted(turnstile::ticket t, place_id p, bool directly);
    void changed()
    {
        if (changed_)
            changed_();
    }

    ready_set& ready_;
    turnstile order_;
    std::unordered_map<turnstile::ticket, permit*> waiting_;
    std::function<void()> changed_;
    std::function<void(place_id)> direct_over_;
};

}  // namespace gateway
