// Is the upstream up? Asked by a probe of /api/version, and learned from calls: those that were
// refused, and those whose answers come. A dead one is probed every second and comes back by
// itself.
#pragma once

#include "async/event.hpp"
#include "upstream/pool.hpp"

#include <functional>
#include <string>

namespace gateway {

class upstream_health {
public:
    upstream_health(asio::io_context& io, upstream_pool& pool, std::string name);

    // Probes until close(). `every`: while it is up; asked anew before each probe.
    awaitable<void> watch(std::function<duration()> every, std::function<duration()> timeout);
    void close();

    // Optimistic until the first probe has answered or a call was refused.
    bool up() const { return up_; }
    bool probed() const { return probed_; }
    instant since() const { return since_; }  // of the last change
    const std::string& why() const { return why_; }

    // A call could not connect: it is down until a probe says otherwise, and one is made at once.
    void refused(const std::string& why);

    // A piece of an answer has come from it: it is busy, not dead, if a probe has no answer then.
    void heard(instant now) { heard_ = now; }

    // It broke a connection off: is it still there? Asked at once.
    void doubt();

    // Told at every change, and what came of a doubt.
    void on_change(std::function<void(bool up)> f) { changed_ = std::move(f); }

private:
    void set(bool up, const std::string& why, bool doubted = false);

    asio::io_context& io_;
    upstream_pool& pool_;
    std::string name_;
    event look_;
    std::function<void(bool)> changed_;
    std::string why_;
    instant since_ = steady::now();
    instant heard_{};
    bool up_ = true;
    bool probed_ = false;
    bool closing_ = false;
    bool doubted_ = false;
    stop asking_;
};

}  // namespace gateway
