#include "upstream/pool.hpp"

#include <algorithm>

namespace gateway {

using boost::system::result;

lease::lease(upstream_pool& from, std::unique_ptr<upstream_connection> c)
    : pool_(&from), connection_(std::move(c))
{
}

lease& lease::operator=(lease&& other) noexcept
{
    drop();
    pool_ = other.pool_;
    connection_ = std::move(other.connection_);
    return *this;
}

lease::~lease() = default;

void lease::keep()
{
    if (connection_ && !connection_->closed())
        pool_->give_back(std::move(connection_));
    connection_.reset();
}

void lease::drop()
{
    connection_.reset();
}

upstream_pool::upstream_pool(asio::io_context& io, resolver& names, std::string url)
    : io_(io), names_(names), url_(parse_upstream_url(url)), sweeping_(io, [this] { sweep(); })
{
    ready_set::of(io_);  // while there are descriptors for it
    if (url_.tls) {
        tls_ = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_client);
        tls_->set_default_verify_paths();
        tls_->set_verify_mode(asio::ssl::verify_peer);
    }
}

upstream_pool::~upstream_pool() = default;

lease upstream_pool::take_idle()
{
    while (!idle_.empty()) {
        auto last = std::move(idle_.back());  // the newest: the least likely to be stale
        idle_.pop_back();
        if (last->usable())
            return {*this, std::move(last)};
    }
    return {};
}

awaitable<result<lease, fault>> upstream_pool::connect(stop& s, duration within)
{
    auto refused = [this](const std::string& why) {
        return fault{fault_code::upstream_failed, "cannot reach " + url_.authority + ": " + why,
                     whose::upstream, retry::elsewhere, 0};
    };
    auto deadline = within == duration{} ? instant::max() : steady::now() + within;
    if (addresses_.empty()) {
        auto found = co_await names_.resolve(url_.host, url_.port, deadline, s);
        if (s.requested()) {
            result<lease, fault> gone(
                fault{fault_code::client_gone, "", whose::client, retry::no, 0});
            co_return gone;
        }
        if (addresses_.empty())
            addresses_ = std::move(found);
        if (addresses_.empty()) {
            result<lease, fault> none(refused("the name does not resolve"));
            co_return none;
        }
    }

    auto c = std::make_unique<upstream_connection>(io_, open_);
    bool late = false;
    alarm bound(io_, [&] {
        late = true;
        c->close();
    });
    bound.set(deadline);
    stop::hook on_stop(s, [&] { c->close(); });
    auto to = addresses_;  // the coroutine's own: the pool may forget them meanwhile
    auto ec = co_await c->open(to, tls_.get(), url_.host);
    if (s.requested()) {
        result<lease, fault> gone(fault{fault_code::client_gone, "", whose::client, retry::no, 0});
        co_return gone;
    }
    if (ec || late) {
        forget_addresses();
        auto why = late ? "no answer within " + std::to_string(ms(within)) + " ms" : ec.message();
        result<lease, fault> none(refused(why));
        co_return none;
    }
    result<lease, fault> connected(lease(*this, std::move(c)));
    co_return connected;
}

void upstream_pool::give_back(std::unique_ptr<upstream_connection> c)
{
    if (idle_.size() >= most_idle)
        return;
    c->used_before = true;
    c->idle_since = steady::now();
    idle_.push_back(std::move(c));
    if (idle_.size() == 1)
        sweeping_.set(steady::now() + std::chrono::seconds(1));
}

// What the other side has closed would stand in CLOSE_WAIT until somebody wanted it; what has not
// been wanted for a minute is not kept either.
void upstream_pool::sweep()
{
    auto now = steady::now();
    std::erase_if(idle_, [&](auto& c) {
        return !c->usable() || now - c->idle_since > std::chrono::minutes(1);
    });
    if (!idle_.empty())
        sweeping_.set(now + std::chrono::seconds(1));
}

}  // namespace gateway
