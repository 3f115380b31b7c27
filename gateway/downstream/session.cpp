#include "downstream/session.hpp"

#include "async/alarm.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "downstream/client_sink.hpp"
#include "downstream/cors.hpp"
#include "downstream/forwarding.hpp"
#include "downstream/incoming_head.hpp"
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
        : host_(host), c_(c), local_only_(local_only), head_(incoming_.get())
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
            begin_listening();
            auto got = next_head();
            while (got == heard::less) {
                co_await c_.more_than(c_.ahead().size(), deadline_);
                got = next_head();
            }
            if (got == heard::no_more)
                break;
            switch (next_request()) {
                case leads_to::end: more = false; break;
                case leads_to::next: break;
                case leads_to::page: more = co_await page(); break;
                case leads_to::held_call: more = co_await held_call(); break;
                case leads_to::streamed_call: more = co_await streamed_call(); break;
            }
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

    void begin_listening()
    {
        const auto& limits = settings().limits;
        cors_fields_.clear();
        begun_ = false;
        auto patience = first_ ? limits.header_timeout : limits.client_keepalive;
        deadline_ = steady::now() + patience;
    }

    enum class heard {
        head,
        less,     // more must come first, by the deadline
        no_more,  // the client has left, was too slow, or was answered with an error
    };

    // Looks for the next whole head in what has come.
    heard next_head()
    {
        rules_ = host_.rules();  // those of now: it may have been waited for for long
        const auto& limits = settings().limits;
        auto bytes = c_.ahead();
        if (!begun_ && !bytes.empty()) {
            begun_ = true;
            asked_at_ = steady::now();
            deadline_ = asked_at_ + limits.header_timeout;
        }
        auto size = incoming_.look(bytes, {limits.header_bytes, limits.header_fields});
        if (!size) {
            c_.consume(head_end(bytes, 0));
            refuse(size.error(), dialect::native);
            return heard::no_more;
        }
        if (incoming_.whole()) {
            c_.consume(*size);
            first_ = false;
            return heard::head;
        }
        if (c_.left() != leaving::no || c_.closed() || (host_.closing && !begun_))
            return heard::no_more;
        if (host_.closing)  // a head that is half there holds nobody up
            deadline_ = std::min(deadline_, host_.closing_since + 1s);
        if (steady::now() < deadline_)
            return heard::less;
        if (begun_ && host_.closing)
            refuse(
                {fault_code::draining, "the gateway is stopping", whose::ours, retry::elsewhere, 5},
                dialect::native);
        else if (begun_)
            refuse({fault_code::bad_request, "the head came too slowly (limits.header_timeout)",
                    whose::client, retry::no, 0},
                   dialect::native);
        return heard::no_more;
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
        m.http_1_0 = incoming_.whole() && head_.http_1_0;
        m.keep_alive = false;
        m.head_only = incoming_.whole() && head_.method == "HEAD";
        m.id = random_id();
        m.extra_fields = cors_fields_ + no.fields;
        note(m.id, client, where, http_status(f.code, d), f.code);
        responder to(c_, std::move(m));
        to.fail(f, d);
    }

    void note(const std::string& id, const std::string& client, endpoint where, int status,
              fault_code why)
    {
        if (host_.refused)
            host_.refused({id, client, where, status, why, steady::now() - asked_at_});
    }

    enum class leads_to {
        end,   // answered; nothing more is read
        next,  // answered
        page,
        held_call,
        streamed_call,
    };

    // What the head and the rules say by themselves: mostly what they said the last time.
    void understand()
    {
        if (!incoming_.again() || understood_by_ != rules_) {
            how_ = classify(head_.method, head_.path);
            asker_ = identify(head_, {c_.peer_address(), c_.unix_socket()}, rules_->trusted,
                              settings().clients.identity_headers);
            served_ = !local_only_ || c_.unix_socket() ||
                      host_allowed(head_.get(field_name::host), rules_->hosts);
            origin_ = cors(head_, settings().origins, host_.pages_port);
            came_back_ = came_back(head_, host_.via);
            fields_ = host_.calls == nullptr ? "" : upstream_fields(head_, {false, host_.via});
            understood_by_ = rules_;
        }
        who_ = asker_;
    }

    // What the head asks for.
    leads_to next_request()
    {
        ++host_.served;
        understand();
        id_ = request_id(head_.get(field_name::x_request_id));
        keep_ = head_.keep_alive && !host_.closing;
        bool body_comes = head_.chunked || head_.content_length.value_or(0) != 0;

        auto refused = gate(how_, who_);
        if (cors_only_) {
            cors_only_ = false;
            keep_ = keep_ && !body_comes;
            responder to(c_, {head_.http_1_0, keep_, false, id_, cors_fields_});
            to.whole(204, {}, {});
            return keep_ ? leads_to::next : leads_to::end;
        }
        if (refused) {
            refuse(*refused, how_.words, how_.where, who_.client);
            return leads_to::end;
        }
        bool held = how_.what == kind::generation || how_.what == kind::embedding;
        bool own = how_.what == kind::own || host_.calls == nullptr;
        auto most = own    ? host_.own->longest_body(head_, settings())
                    : held ? settings().limits.body
                           : std::numeric_limits<std::uint64_t>::max();
        // Who asks whether to send what will be refused is not told to.
        if (head_.expects_continue && body_comes && head_.content_length.value_or(0) <= most)
            c_.write("HTTP/1.1 100 Continue\r\n\r\n");
        return own ? leads_to::page : held ? leads_to::held_call : leads_to::streamed_call;
    }

    // The gate: whose request may not go further at all. Gives `who` the key that it shows.
    std::optional<denial> gate(const classified& how, identity& who)
    {
        auto no = [](fault_code code, std::string why) {
            return denial{{code, std::move(why), whose::client, retry::no, 0}, {}};
        };
        if (who.tunnelled)
            host_.tunnel_seen = true;
        if (!served_)
            return no(fault_code::forbidden,
                      "this Host is not served here; add it to `hosts` in the configuration");
        cors_fields_ = origin_.fields;
        if (origin_.what == cors_answer::verdict::foreign)
            return no(fault_code::forbidden,
                      "this Origin is not allowed; add it to `origins` in the configuration");
        if (origin_.what == cors_answer::verdict::preflight) {
            cors_only_ = true;
            return std::nullopt;
        }
        if (came_back_)
            return no(fault_code::loop,
                      "the request has come back: the upstream is this gateway itself");
        auto now = std::chrono::system_clock::to_time_t(wall_clock::now());
        return host_.calls == nullptr ? admit_operator(head_, who, *rules_, now)
                                      : admit(head_, how, who, *rules_, now);
    }

    // --- the answers: true when the connection may carry another request ---

    awaitable<bool> page()
    {
        responder to(c_,
                     {head_.http_1_0, keep_, head_.method == "HEAD", std::move(id_), cors_fields_});
        page_request request{head_, {}, who_};
        auto share = memory_budget::share(host_.memory);
        auto most = host_.own->longest_body(head_, settings());
        {
            whole_body body(c_, head_, bounds(most), request.body, share);
            while (!body.over())
                co_await c_.more_than(0, body.deadline());
            if (const auto& taken = body.taken(); !taken) {
                if (taken.error().code != fault_code::client_gone)
                    refuse(taken.error(), dialect::native);
                co_return false;
            }
        }
        co_await host_.own->answer(request, to);
        co_return to.keep_alive();
    }

    awaitable<bool> held_call()
    {
        call c;
        begin_call(c, head_, how_, who_, rules_->settings, std::move(id_), fields_);
        result<void, fault> taken;
        {
            memory_budget::share share(host_.memory);
            std::string text;
            whole_body body(c_, head_, bounds(settings().limits.body), text, share);
            while (!body.over())
                co_await c_.more_than(0, body.deadline());
            taken = body.taken();
            if (taken)
                taken = add_body(c, head_, how_, who_, std::move(text), std::move(share));
            else
                keep_ = false;  // what is left of the body is not read
        }
        if (!taken)
            co_return answered_no(c, taken.error());
        bool runs = c.what == kind::generation || c.what == kind::embedding;
        if (runs && host_.jobs != nullptr && asks_for_later(head_))
            co_return co_await later_call(c);
        client_sink to(c_, c, {head_.http_1_0, keep_, false, cors_fields_});
        auto waits = patience_for(c, to);
        co_await host_.calls->serve(c, to);
        waits.reset();
        if (to.was_cut())
            co_await end_cut(to);
        co_return may_go_on(to);
    }

    bool answered_no(const call& c, const fault& why)
    {
        if (why.code == fault_code::client_gone) {
            note(c.id, c.client, c.where, 0, why.code);
            return false;
        }
        client_sink to(c_, c, {head_.http_1_0, keep_, false, cors_fields_});
        note(c.id, c.client, c.where, http_status(why.code, c.words), why.code);
        to.fail(why, {}, {});
        return keep_;
    }

    awaitable<bool> later_call(call& c)
    {
        responder to(c_, {head_.http_1_0, keep_, false, c.id, cors_fields_});
        page_request request{head_, {}, who_};
        co_await host_.jobs->take(c, request, to);
        co_return to.keep_alive();
    }

    awaitable<bool> streamed_call()
    {
        call c;
        begin_call(c, head_, how_, who_, rules_->settings, std::move(id_), fields_);
        client_upload body(c_, head_, bounds(std::numeric_limits<std::uint64_t>::max()));
        c.has_body = head_.chunked || head_.content_length.has_value();
        if (!body.complete()) {
            c.streamed = &body;
            c.streamed_length = head_.content_length;
        }
        client_sink to(c_, c, {head_.http_1_0, keep_, head_.method == "HEAD", cors_fields_});
        auto waits = patience_for(c, to);
        co_await host_.calls->serve(c, to);
        waits.reset();
        if (to.was_cut())
            co_await end_cut(to);
        c_.read_ahead(64 * 1024);
        // An early answer to an upload: the rest of the body is not ours to read.
        co_return may_go_on(to) && body.complete();
    }

    // What needs no permit is given to a client that has half-closed too; but most such have simply
    // gone, and with a silent upstream nothing would ever tell.
    class half_closed {
    public:
        half_closed(asio::io_context& io, client_connection& c, client_sink& to)
            : c_(c), to_(to), written_(c.written()), next_(io, [this] { look(); })
        {
            next_.set(steady::now() + 5s);
        }

    private:
        void look()
        {
            if (c_.left() == leaving::finished && c_.written() == written_)
                to_.ending().request(stop_reason::client_gone, c_.left_at());
            written_ = c_.written();
            next_.set(steady::now() + 5s);
        }

        client_connection& c_;
        client_sink& to_;
        std::uint64_t written_;
        alarm next_;
    };

    std::unique_ptr<half_closed> patience_for(const call& c, client_sink& to)
    {
        bool needs_permit = c.what == kind::generation || c.what == kind::embedding;
        return needs_permit ? nullptr : std::make_unique<half_closed>(host_.io, c_, to);
    }

    // The error and the end of the connection must not be seen together: clients that do drop the
    // text (clients.md §0.7).
    awaitable<void> end_cut(client_sink& to)
    {
        constexpr auto readable = 250ms;
        auto until = steady::now() + readable;
        while (c_.left() == leaving::no && !c_.closed() && steady::now() < until)
            co_await c_.more_than(c_.ahead().size(), until);
        if (head_.http_1_0 && to.at().head_committed)
            c_.reset();
        else
            c_.close();
    }

    bool may_go_on(const client_sink& to) const { return to.keep_alive() && !host_.closing; }

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
    bool local_only_;
    // The head that is listened for
    incoming_head incoming_;
    bool begun_ = false;
    bool first_ = true;
    instant asked_at_ = steady::now();  // its first byte; before the first, the connection
    instant deadline_{};
    // and the request that it is,
    const request_head& head_;
    // as it is understood by these rules.
    std::shared_ptr<const session_rules> understood_by_;
    classified how_;
    identity asker_;  // without a key
    bool served_ = false;
    cors_answer origin_;
    bool came_back_ = false;
    std::string fields_;  // what goes on of it
    // What is made of it.
    identity who_;
    std::string id_;
    std::string cors_fields_;
    bool cors_only_ = false;
    bool keep_ = false;
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
