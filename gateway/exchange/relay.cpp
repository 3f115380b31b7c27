// The hot path: what one piece of an answer costs is decided here (tests and bench keep it at one
// read and one write, without an allocation).
#include "base/text.hpp"
#include "exchange/exchange.hpp"
#include "exchange/live_call.hpp"
#include "exchange/outgoing.hpp"
#include "stream/reader.hpp"
#include "wire/chunk_frame.hpp"

namespace gateway {
namespace {

bool is_json(const answer& a)
{
    return istarts_with(a.head.content_type, "application/json");
}

// What it says it is; one that says neither, what was asked for.
framing framing_of(const answer& a, shape asked)
{
    std::string_view type = a.head.content_type;
    if (istarts_with(type, "application/x-ndjson"))
        return framing::ndjson;
    if (istarts_with(type, "text/event-stream"))
        return framing::sse;
    if (asked == shape::one_piece || is_json(a))
        return framing::one_piece;
    return asked == shape::sse ? framing::sse : framing::ndjson;
}

// Of an answer that is not whole, after so much of it; null: more may come.
const char* what_is_wrong(const body_decoder::step& last, bool record_framed)
{
    if (last.bad)
        return "the upstream's answer is broken: bad chunk";
    if (!last.done)
        return nullptr;
    return record_framed ? "the upstream's answer ended without its end marker"
                         : "the upstream's answer ended before it was whole";
}

// Does an answer in one piece look whole? Its framing may end well, or have no end but the
// connection's, when whoever made it died.
class last_byte {
public:
    void see(std::string_view piece)
    {
        auto at = piece.find_last_not_of(" \t\r\n");
        if (at != std::string_view::npos)
            byte_ = piece[at];
    }
    bool ends_json() const { return byte_ == '}' || byte_ == ']'; }
    bool any() const { return byte_ != 0; }

private:
    char byte_ = 0;
};

}  // namespace

awaitable<void> exchange::relay(live_call& live, attempt_at& at, upstream_connection& c, answer& a,
                                std::size_t begin, std::size_t have, stop& work, bool& clean)
{
    auto& to = live.to();
    auto& call = live.what();
    bool model = call.what == kind::generation || call.what == kind::embedding;
    // An error after which something else may be tried is not passed on yet; and after a head of
    // ours it can only be told in-band.
    bool kept = at.following != nullptr && at.following->withholds(a.head.status, at.others);
    // One after others is told with all of them.
    kept = kept ||
           (at.following != nullptr && a.head.status >= 400 && live.attempts_made().size() > 1);
    if (a.head.status != 200 && (kept || to.at().head_committed)) {
        co_await read_error(at, c, a, begin, have, clean);
        co_return;
    }
    bool answers = model && a.head.status == 200;
    bool refused = model ? !answers : a.head.status >= 400;
    if (answers && a.body.done()) {
        at.end = failed(outcome::truncated, "the upstream's answer is empty");
        co_return;
    }
    auto how = answers ? framing_of(a, call.framed) : framing::one_piece;
    std::optional<stream_reader> reader;
    if (answers)
        reader.emplace(how, call.where);
    bool record_framed = how != framing::one_piece;
    if (record_framed) {
        // It ends with its marker. With a length kept, nothing could be told when that is missing.
        a.head.length.reset();
        c.expect_stream();
    }
    // Nothing else can be tried after it. So a model's head goes with its first byte, not before.
    // When it ends with its first bytes, who waits for its place comes before all that.
    bool begun = false;
    bool headed = false;
    timing times;
    auto begin_answer = [&] {
        begun = true;
        live.answered(a.head.status);
        call.release_body();
        live.tried(refused ? outcome::upstream_status : outcome::ok, a.head.status, "", false);
        times = live.times();
    };
    auto pass_head = [&] {
        headed = true;
        if (at.what != nullptr && is_header_text(at.what->model))
            a.head.model = at.what->model;
        to.head(a.head, times, live.attempts_made());
    };
    if (!answers) {
        begin_answer();
        pass_head();
    }
    bool bounded_by_close = a.body.ends_with_connection() && !a.head.no_body;
    bool judged = !record_framed && (answers || bounded_by_close);
    last_byte last_seen;
    auto whole = [&] {
        if (record_framed)
            return reader->complete();
        if (!judged)
            return true;
        return is_json(a) ? last_seen.ends_json() : last_seen.any() || !answers;
    };

    auto finished = [&] {
        if (reader) {
            auto told = reader->told();
            live.used(told.tokens);
            at.ran = told.ran;
        }
        auto& e = at.end;
        e.how = refused ? outcome::upstream_status : outcome::ok;
        e.status = a.head.status;
        if (refused)
            e.why.message = "the upstream answered " + std::to_string(a.head.status);
        if (reader && reader->error_seen()) {
            e.how = outcome::upstream_status;
            e.status = 200;
            e.why.message = "the upstream's answer ended in an error of its own";
        }
    };

    char* raw = c.data() + begin;
    std::size_t size = have - begin;
    std::size_t left = 0;  // of the answer: what goes out with its end
    clean = a.body.done() && a.keep_alive && size == 0;
    bool goes_on = false;  // the upstream, after the answer's end
    bool halted = false;
    const char* wrong = nullptr;
    while (!a.body.done()) {
        if (size != 0) {
            auto step = a.body.decode(std::span(raw, size));
            std::string_view piece(raw, step.payload);  // what came before a bad byte is good
            if (reader)
                reader->feed(piece, step.done);
            if (judged)
                last_seen.see(piece);
            if (reader && step.done)
                reader->finish();
            bool all_there = (step.done || (record_framed && reader->at_end())) && whole();
            if (!all_there)
                wrong = what_is_wrong(step, record_framed);
            // Its last bytes would make its length right. And while nobody has had anything of it,
            // something else may be tried.
            if (wrong != nullptr && !record_framed && (step.done || !begun))
                break;
            if (!piece.empty()) {
                if (!begun)
                    begin_answer();
                auto now = steady::now();
                live.passes(piece.size(), now);
                at.where.health.heard(now);
            }
            if (all_there) {
                left = step.payload;
                clean = a.keep_alive && step.done && step.consumed == size;
                goes_on = !step.done && !step.bad;
                break;
            }
            if (begun && !headed)
                pass_head();
            if (!piece.empty())
                to.piece(raw, step.payload, false);
            if (wrong != nullptr)
                break;
        }
        halted = work.requested();
        if (halted)
            break;
        to.flush();
        if (!model)
            co_await to.room();
        auto got = c.read_now();
        while (!got && c.can_tell_of_more()) {
            co_await c.more();
            got = c.read_now();
        }
        if (!got)
            got = co_await c.read();
        auto [ec, n] = *got;
        halted = work.requested();
        if (halted)
            break;
        raw = c.data();
        size = n;
        if (ec == asio::error::eof && bounded_by_close && !record_framed && whole())
            break;
        if (ec) {
            at.end = broken_off(ec);
            co_return;
        }
    }
    if (wrong != nullptr || halted) {
        at.end = wrong != nullptr ? failed(outcome::truncated, wrong) : stopped(live, work);
        co_return;
    }
    finished();
    if (at.end.how == outcome::ok) {
        live.tried(outcome::ok, at.end.status, "");  // whoever has read the end may ask at once
        live.ends(outcome::ok);
        bool one_waited = work_done(live, at);
        if (one_waited)
            co_await others_first(ready_);
    }
    if (!headed)
        pass_head();
    // The end marker and the end go out in one write.
    to.piece(raw, left, true);
    if (goes_on)
        clean = co_await drain(c, a, work);
}

exchange::ending exchange::broken_off(error_code why) const
{
    auto e = failed(outcome::truncated, "the upstream's answer was cut short: " + why.message());
    e.broke = true;
    return e;
}

// The upstream has done its work: who waits for its place has it before the client has the end of
// its answer and all is written down. True when somebody has: that one's request is to go out
// first.
bool exchange::work_done(live_call& live, attempt_at& at)
{
    auto now = steady::now();
    live.unwatch();
    if (at.present != nullptr)
        at.present->finished(at.ran, now);
    fleet_.served(at.where.place);
    return at.slot != nullptr && at.slot->finish(now - at.began);
}

// The client has its whole answer; the upstream's last chunk is still to come. Short patience: the
// connection is only kept when it comes soon.
awaitable<bool> exchange::drain(upstream_connection& c, answer& a, stop& work)
{
    alarm bound(io_, [&] { c.close(); });
    bound.set(steady::now() + std::chrono::seconds(1));
    while (!a.body.done()) {
        auto [ec, n] = co_await c.read();
        if (ec || work.requested())
            co_return false;
        auto step = a.body.decode(std::span(c.data(), n));
        if (step.bad)
            co_return false;
        if (step.done)
            co_return a.keep_alive&& step.consumed == n;
    }
    co_return false;
}

// The upstream said no, and it is not passed on as it is: its words are kept.
awaitable<void> exchange::read_error(attempt_at& at, upstream_connection& c, answer& a,
                                     std::size_t begin, std::size_t have, bool& clean)
{
    constexpr std::size_t most = 256 * 1024;
    std::string text(c.data() + begin, have - begin);
    auto step = a.body.decode(std::span(text.data(), text.size()));
    bool extra = step.done && step.consumed != text.size();
    text.resize(step.payload);
    alarm bound(io_, [&] { c.close(); });
    bound.set(steady::now() + std::chrono::seconds(5));
    while (!a.body.done() && !step.bad && text.size() < most) {
        auto [ec, n] = co_await c.read();
        if (ec)
            break;
        step = a.body.decode(std::span(c.data(), n));
        extra = step.done && step.consumed != n;
        text.append(c.data(), step.payload);
    }
    clean = a.keep_alive && a.body.done() && !step.bad && !extra;
    auto& e = at.end;
    e.how = outcome::upstream_status;
    e.status = a.head.status;
    e.why.message = "the upstream answered " + std::to_string(a.head.status);
    e.withheld = true;
    e.body = std::move(text);
}

}  // namespace gateway
