// The life of a call: where it goes, its turn, one try at an upstream, the answer relayed, and the
// one verdict at the end. Whether its sink is a socket or something else, it does not know.
#pragma once

#include "admission/admission.hpp"
#include "call/sink.hpp"
#include "exchange/call_book.hpp"
#include "models/models.hpp"
#include "stream/frames.hpp"
#include "telemetry/metrics.hpp"
#include "upstream/answer.hpp"
#include "upstream/health.hpp"
#include "upstream/pool.hpp"

#include <memory>
#include <string>
#include <vector>

namespace gateway {

class live_call;

// One upstream with everything that belongs to it. Owned by the gateway.
struct site {
    std::string name;
    upstream_pool& pool;
    upstream_health& health;
    models& loaded;
    admission& generations;
    admission& embeddings;
};

class exchange : public service {
public:
    exchange(asio::io_context& io, metrics& counted, site& upstream);

    awaitable<void> serve(call& c, sink& to) override;

    // From now on new calls are refused (draining), waiting ones too.
    void refuse_new();
    // Ends every call that still runs.
    void end_all(stop_reason why);
    // False when there is no such live call.
    bool cancel(std::string_view id);

    void set_messages(std::vector<message_text> messages) { messages_ = std::move(messages); }
    const call_book& book() const { return book_; }

private:
    // How one try ended, for the attempts list and for whoever decides what comes next.
    struct ending {
        outcome how = outcome::ok;
        fault why;            // unless ok
        int status = 0;       // with upstream_status
        bool unsent = false;  // nothing of the call has reached the upstream
    };
    struct upload_state;

    awaitable<void> straight(live_call& live);
    awaitable<void> queued(live_call& live, bool embedding);
    awaitable<bool> wait_for_turn(live_call& live, permit& p, admission& at);
    // `watched`: the call's model, when its silence counts.
    awaitable<ending> try_once(live_call& live, const std::string* watched);
    awaitable<ending> send_and_relay(live_call& live, lease& l, stop& work, bool& stale);
    awaitable<ending> read_head(live_call& live, upstream_connection& c, answer& into,
                                std::size_t& begin, std::size_t& have, stop& work);
    awaitable<ending> relay(live_call& live, upstream_connection& c, answer& a, std::size_t begin,
                            std::size_t have, stop& work, bool& clean);
    awaitable<bool> drain(upstream_connection& c, answer& a, stop& work);
    awaitable<ending> relay_error(live_call& live, upstream_connection& c, answer& a,
                                  std::size_t begin, std::size_t have);
    awaitable<void> send_upload(call& c, upstream_connection& to, std::shared_ptr<upload_state> s);
    bool ended(live_call& live);
    void finish(live_call& live, const ending& e);
    ending stopped(live_call& live, stop& work, const upstream_url& from) const;

    asio::io_context& io_;
    metrics& counted_;
    site& site_;
    call_book book_;
    std::vector<message_text> messages_;
    bool draining_ = false;
};

}  // namespace gateway
