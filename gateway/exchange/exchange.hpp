// The life of a call: where it goes, its turn, one try at an upstream, the answer relayed, and the
// one verdict at the end. Whether its sink is a socket or something else, it does not know.
#pragma once

#include "admission/admission.hpp"
#include "call/body_edit.hpp"
#include "call/sink.hpp"
#include "exchange/attempts.hpp"
#include "exchange/call_book.hpp"
#include "exchange/route.hpp"
#include "models/fleet.hpp"
#include "stream/frames.hpp"
#include "telemetry/metrics.hpp"
#include "upstream/answer.hpp"
#include "upstream/health.hpp"
#include "upstream/pool.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gateway {

class live_call;
struct outgoing;

class exchange : public service {
public:
    exchange(asio::io_context& io, metrics& counted, fleet& upstreams, admission& generations,
             admission& embeddings);

    awaitable<void> serve(call& c, sink& to) override;

    // From now on new calls are refused (draining), waiting ones too.
    void refuse_new();
    // Ends every call that still runs.
    void end_all(stop_reason why);
    // The program ends at once: what is still in flight gets its line in the log.
    void log_all_as_cut() const;
    // All of its client's calls that came with this id. False when there is no such live call.
    bool cancel(std::string_view id);
    // Others of the upstreams are up than before: who waits is held, or held no longer.
    void upstreams_changed();

    void set_messages(std::vector<message_text> messages) { messages_ = std::move(messages); }
    const call_book& book() const { return book_; }

private:
    // How one try ended, for the attempts list and for whoever decides what comes next.
    struct ending {
        outcome how = outcome::ok;
        fault why;            // unless ok
        int status = 0;       // with upstream_status
        bool unsent = false;  // nothing of the call has reached the upstream
        bool broke = false;   // the upstream's connection did, before the answer had ended
        // The upstream's error was kept from the client: something may follow it.
        bool withheld = false;
        std::string body;        // then
        bool own_limit = false;  // timeouts.total
    };
    // What is tried: a model, under the name it is asked for, with what must be changed in the body
    // for it.
    struct target {
        std::string as;     // as it goes upstream; the call's own spelling unless a fallback
        std::string model;  // canonical; empty: the call names none
        lane_key lane;
        place_set missing = 0;  // places that do not have it
        body_edits edits;
        bool substitute = false;
    };
    // One try's surroundings.
    struct attempt_at {
        site& where;
        const target* what = nullptr;  // none: it goes straight, and its model is not watched
        const attempts* following = nullptr;  // what may follow decides what is withheld
        place_set others = 0;                 // places where it could be tried after this
        std::optional<std::uint64_t> context = std::nullopt;  // body_edits::num_ctx
        permit* slot = nullptr;                               // what it runs with
        instant began = steady::now();
        models::presence* present = nullptr;  // its model's watch over it
        // Told back:
        std::optional<duration> ran = std::nullopt;  // by the model's own account
        ending end = {};
    };
    struct upload_state;

    // Where to: exchange.cpp
    awaitable<void> straight(live_call& live, site& where);
    site& straight_to(const call& c) const;
    bool turned_away(live_call& live);
    bool ended(live_call& live);
    ending refusal(fault_code code, std::string why, int retry_after) const;

    // What wants a model: queued.cpp
    awaitable<void> queued(live_call& live, way which, fleet::found known);
    bool prepared(live_call& live, const attempts& tries, target& t, ending& last,
                  fleet::found found);
    awaitable<bool> next_model(live_call& live, attempts& tries, target& t, ending& last);
    awaitable<bool> wait_for_turn(live_call& live, permit& p, const target& t,
                                  const attempts& tries, std::unique_ptr<bad_news>& news);
    attempt_at next_try(live_call& live, permit& p, const attempts& tries, const target& t) const;
    awaitable<bool> goes_on(live_call& live, permit& p, attempts& tries, target& t, ending& e,
                            place_id at);
    bool line_up(live_call& live, way which, const target& t, std::optional<permit>& p);
    void wishes(live_call& live, const target& t);
    ending heard(live_call& live, const target& t, const bad_news& news);
    bool admitted(live_call& live, permit& p);
    bool goes_past(const attempts& tries) const;
    std::optional<duration> held_for(live_call& live, const lane_key& lane,
                                     const attempts& tries) const;
    void count_fallback(live_call& live, const std::string& to);
    std::vector<std::string> fallbacks_of(const call& c) const;
    models::wish wish_of(const call& c, const target& t) const;
    unsigned largest_pool() const;
    place_set others(const target& t, place_id tried) const;
    static ending told(const bad_news& news);
    static int retry_after(std::optional<duration> turn);

    // Of several upstreams as of one: of_all.cpp
    awaitable<bool> answered_for_all(live_call& live);
    awaitable<void> learn_model(live_call& live);

    // How it ended: finish.cpp
    // `at`: where one that was never sent would have gone; none: the first upstream.
    void finish(live_call& live, const ending& e, const site* at = nullptr);
    // No upstream that has the model is up, of those that are not barred.
    ending no_way_to(const std::string& model, place_set barred) const;
    bad_news out_of_reach(const target& t) const;
    static std::string words_of(const ending& e);

    // One try: try_once.cpp
    // How each ended is in at.end.
    awaitable<void> try_once(live_call& live, attempt_at& at);
    void attend(live_call& live, attempt_at& at, stop& work,
                std::optional<models::presence>& present) const;
    void leave(live_call& live, models::presence& present, const stop& work, const attempt_at& at);
    awaitable<lease> connected(live_call& live, attempt_at& at, stop& work);
    awaitable<void> send_and_relay(live_call& live, attempt_at& at, lease& l, stop& work,
                                   bool& stale);
    static std::optional<outgoing> changed(const call& c, const attempt_at& at);
    static std::string head_for(const call& c, const attempt_at& at, const outgoing* other);
    awaitable<void> upload_over(live_call& live, upstream_connection& to, upload_state& up,
                                bool& clean, ending& e);
    bool head_has_come(live_call& live, attempt_at& at, upstream_connection& c, answer& into,
                       std::size_t& begin, std::size_t& have) const;
    static ending lost_before_its_head(std::string_view come, bool interim, error_code why);
    static ending failed(outcome how, std::string why);
    awaitable<void> send_upload(call& c, upstream_connection& to, duration patience,
                                std::shared_ptr<upload_state> s);
    ending stopped(live_call& live, stop& work) const;

    // Its answer: relay.cpp
    awaitable<void> relay(live_call& live, attempt_at& at, upstream_connection& c, answer& a,
                          std::size_t begin, std::size_t have, stop& work, bool& clean);
    ending broken_off(error_code why) const;
    bool work_done(live_call& live, attempt_at& at);
    awaitable<bool> drain(upstream_connection& c, answer& a, stop& work);
    awaitable<void> read_error(attempt_at& at, upstream_connection& c, answer& a, std::size_t begin,
                               std::size_t have, bool& clean);

    asio::io_context& io_;
    ready_set& ready_;
    alarms& clocks_;
    metrics& counted_;
    fleet& fleet_;
    admission& generations_;
    admission& embeddings_;
    call_book book_;
    std::vector<message_text> messages_;
    bool draining_ = false;
    std::map<std::string, place_id> blobs_at_;  // by client: where its last blob went
};

}  // namespace gateway
