// The turnstile with people before it: who waits is woken when its turn has come. A permit is an
// object; its destructor gives it back or leaves the queue, whichever it was.
#pragma once

#include "admission/turnstile.hpp"
#include "async/event.hpp"
#include "async/stop.hpp"

#include <optional>
#include <unordered_map>

namespace gateway {

class admission;

// A place in the queue, then a slot at the upstream.
class permit {
public:
    permit(admission& at, visitor v);  // arrives
    ~permit();
    permit(const permit&) = delete;
    permit& operator=(const permit&) = delete;

    turnstile::answer arrival() const { return arrival_.what; }
    int retry_after() const { return arrival_.retry_after; }
    bool granted() const { return granted_; }

    // Returns when granted, when `s` was requested, or when give_up() was called.
    awaitable<void> turn(stop& s);
    // It is not worth waiting longer: turn() returns without a grant.
    void give_up();
    bool given_up() const { return given_up_; }

    std::size_t position() const;
    std::optional<duration> eta(instant now) const;

    // The work is done: gives it back now; `service` enters the model's average.
    void finish(std::optional<duration> service);
    // Nothing of the work was done: back to the head of the queue, to wait for another turn.
    void put_back();

private:
    friend class admission;
    admission& at_;
    turnstile::arrival arrival_;
    bool granted_ = false;
    bool given_up_ = false;
    std::optional<event> woken_;  // only who waits needs one
};

class admission {
public:
    admission(asio::io_context& io, turnstile::limits l) : io_(io), order_(l) {}

    // Whatever changes who may go ends here: wakes those whose turn has come.
    void set_limits(turnstile::limits l);
    void limit_model(std::string_view model, unsigned n);
    void open(bool is_open);
    void block(std::string_view model);
    void unblock(std::string_view model);

    const turnstile& view() const { return order_; }

private:
    friend class permit;
    void wake();

    asio::io_context& io_;
    turnstile order_;
    std::unordered_map<turnstile::ticket, permit*> waiting_;
};

}  // namespace gateway
