#include "downstream/session.hpp"

#include "async/alarm.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "downstream/client_sink.hpp"
#include "downstream/cors.hpp"
#include "downstream/forwarding.hpp"
#include "downstream/intake.hpp"
#include "downstream/make_call.hpp"
#include "downstream/permission.hpp"
#include "downstream/prefer.hpp"
#include "downstream/request_id.hpp"

#include <boost/asio/post.hpp>

#include <limits>
#include <optional>

namespace gateway {

using boost::system::result;
using namespace std::chrono_literals;

namespace {

using leaving = client_connection::leaving;

// One request after another on one connection.
class session {
public:
    session(session_host& host, client_connection& c, bool local_only)
        : host_(host), c_(c), local_only_(local_only)
    {
    }

    awaitable<void> run()
    {
        rules_ = host_.rules();
        bool more = host_.open.size() <= settings().limits.connections;
        if (!more)
            refuse({fault_code::overloaded, "too many connections (limits.connections)",
                    whose::ours, retry::elsewhere, 5},
                   dialect::native);
        while (more) {
            rules_ = host_.rules();
            auto got = co_await next_head();
            if (!got)
                break;
            more = co_await one_request();
            if (more && c_.backlog() != 0)
                more = co_await taken();
            more = more && may_ask_again();
            // Who asks without a pause for what is answered at once must not keep others waiting.
            if (more && ++asked_ % in_a_row == 0)
                co_await asio::post(host_.io, asio::deferred);
        }
        co_await end();
    }

private:
    const config& settings() const { return *rules_->settings; }

    // One that has half-closed has asked all that it will: what stands there is still answered.
    bool may_ask_again() const
    {
        return c_.left() == leaving::no || (c_.left() == leaving::finished && !c_.ahead().empty());
    }

    // The next whole head; false when there is none: the client has left, was too slow, or was
    // answered with an error.
    awaitable<bool> next_head()
    {
        const auto& limits = settings().limits;
        head_ = {};
        cors_fields_.clear();
        std::size_t looked = 0;
        bool begun = false;
        auto patience = first_ ? limits.header_timeout : limits.client_keepalive;
        auto deadline = steady::now() + patience;
        for (;;) {
            auto bytes = c_.ahead();
            if (auto end = head_end(bytes, looked); end != 0 && end <= limits.header_bytes) {
                auto parsed =
                    parse_head(bytes.substr(0, end), {limits.header_bytes, limits.header_fields});
                c_.consume(end);
                if (!parsed) {
                    refuse(parsed.error(), dialect::native);
                    co_return false;
                }
                head_ = std::move(*parsed);
                first_ = false;
                co_return true;
            } else if (end != 0 || bytes.size() > limits.header_bytes) {
                refuse({fault_code::head_too_large, "the head is over limits.header_bytes",
                        whose::client, retry::no, 0},
                       dialect::native);
                co_return false;
            }
            looked = bytes.size();
            if (c_.left() != leaving::no || c_.closed() ||
                (host_.closing && !begun && bytes.empty()))
                co_return false;
            if (!begun && !bytes.empty()) {
                begun = true;
                deadline = steady::now() + limits.header_timeout;
            }
            if (host_.closing)  // a head that is half there holds nobody up
                deadline = std::min(deadline, host_.closing_since + 1s);
            if (steady::now() >= deadline) {
                if (begun && host_.closing)
                    refuse({fault_code::draining, "the gateway is stopping", whose::ours,
                            retry::elsewhere, 5},
                           dialect::native);
                else if (begun)
                    refuse({fault_code::bad_request,
                            "the head came too slowly (limits.header_timeout)", whose::client,
                            retry::no, 0},
                           dialect::native);
                co_return false;
            }
            co_await c_.more_than(looked, deadline);
        }
    }

    // An answer after which the connection cannot be trusted any more.
    void refuse(const fault& f, dialect d)
    {
        constexpr auto methods = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
        refuse({f, f.code == fault_code::bad_method ? methods : ""}, d, endpoint::other,
               c_.peer_address());
    }

    void refuse(const denial& no, dialect d, endpoint where, const std::string& client)
    {
        const fault& f = no.why;
        responder::manners m;
        m.http_1_0 = head_.http_1_0;
        m.keep_alive = false;
        m.head_only = head_.method == "HEAD";
        m.id = random_id();
        m.extra_fields = cors_fields_ + no.fields;
        note({m.id, client, where, http_status(f.code, d), word(f.code)});
        responder to(c_, std::move(m));
        to.fail(f, d);
    }

    void note(const refusal_note& n)
    {
        if (host_.refused)
            host_.refused(n);
    }

    // True when the connection may carry another.
    awaitable<bool> one_request()
    {
        ++host_.served;
        auto how = classify(head_.method, head_.path);
        auto who = identify(head_, {c_.peer_address(), c_.unix_socket()}, rules_->trusted,
                            settings().clients.identity_headers);
        auto id = request_id(head_.get("X-Request-Id"));
        bool keep = head_.keep_alive && !host_.closing;
        bool body_comes = head_.chunked || head_.content_length.value_or(0) != 0;

        auto refused = gate(how, who);
        if (cors_only_) {
            cors_only_ = false;
            responder to(c_, {head_.http_1_0, keep && !body_comes, false, id, cors_fields_});
            to.whole(204, {}, {});
            co_return keep && !body_comes;
        }
        if (refused) {
            refuse(*refused, how.words, how.where, who.client);
            co_return false;
        }
        bool held = how.what == kind::generation || how.what == kind::embedding;
        bool own = how.what == kind::own || host_.calls == nullptr;
        auto most = own    ? host_.own->longest_body(head_, settings())
                    : held ? settings().limits.body
                           : std::numeric_limits<std::uint64_t>::max();
        // Who asks whether to send what will be refused is not told to.
        if (head_.expects_continue && body_comes && head_.content_length.value_or(0) <= most)
            c_.write("HTTP/1.1 100 Continue\r\n\r\n");
        if (own)
            co_return co_await page(who, std::move(id), keep);
        auto c = begin_call(head_, how, who, rules_->settings, std::move(id), host_.via);
        if (held)
            co_return co_await held_call(std::move(c), how, who, keep);
        co_return co_await streamed_call(std::move(c), keep);
    }

    // The gate: whose request may not go further at all. Gives `who` the key that it shows.
    std::optional<denial> gate(const classified& how, identity& who)
    {
        const auto& s = settings();
        auto no = [](fault_code code, std::string why) {
            return denial{{code, std::move(why), whose::client, retry::no, 0}, {}};
        };
        if (who.tunnelled)
            host_.tunnel_seen = true;
        if (local_only_ && !c_.unix_socket() && !host_allowed(head_.get("Host"), rules_->hosts))
            return no(fault_code::forbidden,
                      "this Host is not served here; add it to `hosts` in the configuration");
        auto origin = cors(head_, s.origins, host_.pages_port);
        cors_fields_ = origin.fields;
        if (origin.what == cors_answer::verdict::foreign)
            return no(fault_code::forbidden,
                      "this Origin is not allowed; add it to `origins` in the configuration");
        if (origin.what == cors_answer::verdict::preflight) {
            cors_only_ = true;
            return std::nullopt;
        }
        if (came_back(head_, host_.via))
            return no(fault_code::loop,
                      "the request has come back: the upstream is this gateway itself");
        auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
        return host_.calls == nullptr ? admit_operator(head_, who, *rules_, now)
                                      : admit(head_, how, who, *rules_, now);
    }

    awaitable<bool> page(const identity& who, std::string id, bool keep)
    {
        responder to(c_,
                     {head_.http_1_0, keep, head_.method == "HEAD", std::move(id), cors_fields_});
        page_request request{head_, {}, who};
        auto share = memory_budget::share(host_.memory);
        auto most = host_.own->longest_body(head_, settings());
        auto taken = co_await take_body(c_, head_, bounds(most), request.body, share);
        if (!taken) {
            if (taken.error().code != fault_code::client_gone)
                refuse(taken.error(), dialect::native);
            co_return false;
        }
        co_await host_.own->answer(request, to);
        co_return to.keep_alive();
    }

    awaitable<bool> held_call(call c, const classified& how, const identity& who, bool keep)
    {
        memory_budget::share share(host_.memory);
        std::string body;
        auto taken = co_await take_body(c_, head_, bounds(settings().limits.body), body, share);
        if (taken)
            taken = add_body(c, head_, how, who, std::move(body), std::move(share));
        else
            keep = false;  // what is left of the body is not read
        if (!taken && taken.error().code == fault_code::client_gone)
            co_return false;
        bool runs = c.what == kind::generation || c.what == kind::embedding;
        if (taken && runs && host_.jobs != nullptr && asks_for_later(head_)) {
            responder to(c_, {head_.http_1_0, keep, false, c.id, cors_fields_});
            page_request request{head_, {}, who};
            co_await host_.jobs->take(c, request, to);
            co_return to.keep_alive();
        }
        client_sink to(c_, c, {head_.http_1_0, keep, false, cors_fields_});
        if (!taken) {
            note({c.id, c.client, c.where, http_status(taken.error().code, c.words),
                  word(taken.error().code)});
            to.fail(taken.error(), {}, {});
            co_return keep;
        }
        co_return co_await serve(c, to);
    }

    awaitable<bool> streamed_call(call c, bool keep)
    {
        client_upload body(c_, head_, bounds(std::numeric_limits<std::uint64_t>::max()));
        c.has_body = head_.chunked || head_.content_length.has_value();
        if (!body.complete()) {
            c.streamed = &body;
            c.streamed_length = head_.content_length;
        }
        client_sink to(c_, c, {head_.http_1_0, keep, head_.method == "HEAD", cors_fields_});
        auto again = co_await serve(c, to);
        c_.read_ahead(64 * 1024);
        // An early answer to an upload: the rest of the body is not ours to read.
        co_return again&& body.complete();
    }

    awaitable<bool> serve(call& c, client_sink& to)
    {
        // What needs no permit is given to a client that has half-closed too; but most such have
        // simply gone, and with a silent upstream nothing would ever tell.
        auto written = c_.written();
        std::optional<alarm> patience;
        if (c.what != kind::generation && c.what != kind::embedding) {
            patience.emplace(host_.io, [&] {
                if (c_.left() == leaving::finished && c_.written() == written)
                    to.ending().request(stop_reason::client_gone, c_.left_at());
                written = c_.written();
                patience->set(steady::now() + 5s);
            });
            patience->set(steady::now() + 5s);
        }
        co_await host_.calls->serve(c, to);
        patience.reset();
        if (to.was_cut()) {
            // The error and the end of the connection must not be seen together: clients that do
            // drop the text (clients.md §0.7).
            constexpr auto readable = 250ms;
            auto until = steady::now() + readable;
            while (c_.left() == leaving::no && !c_.closed() && steady::now() < until)
                co_await c_.more_than(c_.ahead().size(), until);
            if (head_.http_1_0 && to.at().head_committed)
                c_.reset();
            else
                c_.close();
            co_return false;
        }
        co_return to.keep_alive() && !c_.lost_some() && !host_.closing;
    }

    body_bounds bounds(std::uint64_t most) const
    {
        return {most, settings().limits.header_timeout, settings().limits.body_rate, host_.closing};
    }

    // What has been written has been taken; false when the client does not take it.
    awaitable<bool> taken()
    {
        while (c_.backlog() != 0) {
            auto before = c_.backlog();
            co_await c_.taken_down_to(before - 1,
                                      steady::now() + settings().limits.client_keepalive);
            if (c_.left() == leaving::broken || c_.closed() || c_.backlog() >= before)
                co_return false;
        }
        co_return true;
    }

    // Lingering close (reliability.md D25): a reset would take the answer away from a client that
    // is still sending. One that does send has its time to take it; what it sends is not wanted.
    awaitable<void> end()
    {
        co_await taken();
        if (c_.closed() || c_.left() != leaving::no)
            co_return;
        c_.shut();
        bool sends = c_.lost_some() || !c_.ahead().empty();
        c_.consume(c_.ahead().size());
        std::size_t most = 256 * 1024;
        auto on_its_way = c_.untaken();
        auto now = steady::now();
        const auto until = now + 500ms;
        for (auto moved = now; c_.left() == leaving::no && !c_.closed(); now = steady::now()) {
            if (auto still = c_.untaken(); still < on_its_way) {
                on_its_way = still;
                moved = now;
            }
            auto n = c_.ahead().size();
            sends = sends || n != 0;
            bool waits = sends && on_its_way != 0 && !host_.closing &&
                         now - moved < settings().limits.client_keepalive;
            if (!waits && (now >= until || n > most))
                break;
            if (n <= most) {
                c_.consume(n);
                most -= n;
                n = 0;
            }
            const auto look_again = waits ? now + 50ms : until;
            co_await c_.more_than(n, look_again);
        }
    }

    static constexpr unsigned in_a_row = 16;  // requests

    session_host& host_;
    client_connection& c_;
    std::shared_ptr<const session_rules> rules_;
    request_head head_;
    std::string cors_fields_;
    bool local_only_;
    bool cors_only_ = false;
    bool first_ = true;
    unsigned asked_ = 0;
};

}  // namespace

awaitable<void> serve_client(session_host& host, accepted_socket socket, bool local_only)
{
    gate::pass inside(host.inside);
    client_connection c(host.io, std::move(socket), host.memory);
    struct listed {
        listed(session_host& h, client_connection& c) : host(h), one(c) { host.open.insert(&one); }
        ~listed() { host.open.erase(&one); }
        session_host& host;
        client_connection& one;
    } here(host, c);
    session s(host, c, local_only);
    co_await s.run();
}

}  // namespace gateway
