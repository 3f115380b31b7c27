// The connections to one upstream: leased to one call at a time, kept while clean, and found out
// when the other side has closed them meanwhile.
#pragma once

#include "async/alarm.hpp"
#include "async/stop.hpp"
#include "call/fault.hpp"
#include "upstream/address.hpp"
#include "upstream/answer.hpp"
#include "upstream/connection.hpp"

#include <boost/system/result.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gateway {

class upstream_pool;

// A connection for one call. Goes back to the pool when it was `kept`, else it is closed.
class lease {
public:
    lease() = default;
    lease(upstream_pool& from, std::unique_ptr<upstream_connection> c);
    lease(lease&&) noexcept = default;
    lease& operator=(lease&& other) noexcept;
    ~lease();

    upstream_connection& operator*() const { return *connection_; }
    upstream_connection* operator->() const { return connection_.get(); }
    explicit operator bool() const { return connection_ != nullptr; }

    // The answer has ended where it said it would and nothing stands behind it.
    void keep();
    // Closes it now.
    void drop();

private:
    upstream_pool* pool_ = nullptr;
    std::unique_ptr<upstream_connection> connection_;
};

class upstream_pool {
public:
    upstream_pool(asio::io_context& io, resolver& names, std::string url);
    ~upstream_pool();

    const upstream_url& url() const { return url_; }
    // Of what comes on any of them.
    answer_parser& answers() { return answers_; }

    // An idle connection; empty when there is none.
    lease take_idle();
    // A new one, connected in that time (0: no bound). Faults: upstream_failed, to be tried
    // elsewhere: nothing was sent; client_gone when `s` was requested.
    awaitable<boost::system::result<lease, fault>> connect(stop& s, duration within);

    std::size_t open() const { return open_; }
    std::size_t idle() const { return idle_.size(); }
    // Resolves the name again before the next new connection.
    void forget_addresses() { addresses_.clear(); }
    // Closes what is idle: shutting down, or the upstream has gone.
    void close_idle()
    {
        idle_.clear();
        sweeping_.clear();  // or it keeps the program up to a second longer
    }

private:
    friend class lease;
    void give_back(std::unique_ptr<upstream_connection> c);
    void sweep();

    static constexpr std::size_t most_idle = 256;

    asio::io_context& io_;
    resolver& names_;
    upstream_url url_;
    std::unique_ptr<asio::ssl::context> tls_;
    answer_parser answers_;
    std::size_t open_ = 0;
    std::vector<std::unique_ptr<upstream_connection>> idle_;
    resolver::endpoints addresses_;
    alarm sweeping_;
};

}  // namespace gateway
