#include "downstream/client_sink.hpp"

#include "base/digits.hpp"
#include "base/log.hpp"
#include "stream/frames.hpp"
#include "wire/chunk_frame.hpp"

#include <boost/beast/http/status.hpp>

#include <array>
#include <cstdio>
#include <ctime>

namespace gateway {

std::string_view http_date()
{
    static std::time_t of = 0;
    static std::array<char, 40> text;
    static std::size_t size = 0;
    auto now = std::time(nullptr);
    if (now != of) {
        of = now;
        std::tm parts{};
        ::gmtime_r(&now, &parts);
        size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    }
    return {text.data(), size};
}

namespace {

std::string_view reason_of(int status)
{
    if (status == 529)
        return "Site Overloaded";  // Anthropic's own
    auto text =
        boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(unsigned(status)));
    return {text.data(), text.size()};
}

std::string_view early_type(const call& c)
{
    switch (c.framed) {
        case shape::ndjson: return "application/x-ndjson";
        case shape::sse:
        case shape::native_sse: return "text/event-stream";
        case shape::one_piece: break;
    }
    return c.words == dialect::native ? "application/json; charset=utf-8" : "application/json";
}

}  // namespace

client_sink::client_sink(client_connection& to, const call& c, manners m)
    : to_(to),
      call_(c),
      manners_(std::move(m)),
      needs_permit_(c.what == kind::generation || c.what == kind::embedding)
{
    to_.on_leaving([this](client_connection::leaving how) { client_leaves(how); });
    if (fin_is_leaving())
        to_.want_end();
    if (to_.left() != client_connection::leaving::no)
        client_leaves(to_.left());
}

client_sink::~client_sink()
{
    to_.on_leaving(nullptr);
}

// A FIN counts as gone, except that what needs no permit is still answered. A load that nobody
// waits for any more need not be begun.
bool client_sink::fin_is_leaving() const
{
    return needs_permit_ || call_.what == kind::load;
}

void client_sink::client_leaves(client_connection::leaving how)
{
    // A close after the end marker is none (openai-python closes at [DONE]).
    bool gone = how == client_connection::leaving::broken || fin_is_leaving();
    if (gone && end_ == end::open)
        ending_.request(stop_reason::client_gone, to_.left_at());
}

void client_sink::begin_fields(int status, std::string_view reason)
{
    // With a short answer; and not so much that malloc does not keep it for the next.
    held_.reserve(1000);
    held_ = manners_.http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ";
    append_number(held_, status);
    held_ += ' ';
    held_ += reason.empty() ? reason_of(status) : reason;
    held_ += "\r\nX-Request-Id: ";
    held_ += call_.id;
    held_ += "\r\n";
    held_ += manners_.extra_fields;
}

void client_sink::end_fields(std::optional<std::uint64_t> length, bool no_body)
{
    bool known = length.has_value();
    if (call_.streamed != nullptr && !call_.streamed->complete())
        manners_.keep_alive = false;  // an early answer: the rest of the upload is not read
    if (to_.lost_some())
        manners_.keep_alive = false;
    if (known) {
        held_ += "Content-Length: ";
        append_number(held_, std::int64_t(*length));
        held_ += "\r\n";
    }
    if (no_body || manners_.head_only) {
        framing_ = frame_as::nothing;
    } else if (known) {
        framing_ = frame_as::length;
    } else if (manners_.http_1_0) {
        framing_ = frame_as::until_close;
        manners_.keep_alive = false;
    } else {
        framing_ = frame_as::chunks;
        held_ += "Transfer-Encoding: chunked\r\n";
    }
    if (!manners_.keep_alive)
        held_ += "Connection: close\r\n";
    else if (manners_.http_1_0)
        held_ += "Connection: keep-alive\r\n";
    held_ += "\r\n";
    at_.head_committed = true;
}

void client_sink::commit_early()
{
    retells_ = call_.framed == shape::native_sse;
    begin_fields(200, "OK");
    held_.append("Content-Type: ").append(early_type(call_));
    held_ += "\r\nCache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\nDate: ";
    held_.append(http_date()).append("\r\n");
    end_fields(std::nullopt, false);
}

void client_sink::tell(const queue_status& status, bool over, bool refresh)
{
    if (end_ != end::open || at_.model_bytes)
        return;
    if (!at_.head_committed)
        commit_early();  // the first telling goes out in the same write
    auto created = std::chrono::system_clock::to_time_t(call_.created);
    if (refresh)
        body(empty_chunk_frame(call_.where, status, created));
    else if (call_.told == telling::native_chunk)
        body(frame(call_.told, call_.where, status, created, rfc3339_micros(call_.created), over));
    else
        body(frame(call_.told, call_.where, status, created, {}, over));
}

void client_sink::head(const answer_head& h, const timing& t, const std::vector<attempt>& tried)
{
    if (at_.head_committed)
        return;
    begin_fields(h.status, h.reason);
    retells_ = call_.framed == shape::native_sse && h.status == 200;
    if (retells_)
        held_ +=
            "Content-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n"
            "X-Accel-Buffering: no\r\n";
    else
        held_ += h.fields;
    if (!h.model.empty())
        held_.append("X-Gateway-Model: ").append(h.model).append("\r\n");
    story_fields(t, tried);
    end_fields(retells_ ? std::nullopt : h.length, h.no_body);
}

// How long it took, and what was tried for it.
void client_sink::story_fields(const timing& t, const std::vector<attempt>& tried)
{
    held_ += "Server-Timing: queue;dur=";
    append_thousandths(held_, t.queue_us);
    held_ += ", load;dur=";
    append_thousandths(held_, t.load_us);
    held_ += ", upstream;dur=";
    append_thousandths(held_, t.upstream_us);
    held_ += "\r\n";
    if (needs_permit_ && !tried.empty()) {
        held_ += "X-Gateway-Attempts: ";
        append_header(held_, tried);
        held_ += "\r\n";
    }
}

void client_sink::body(std::string_view bytes)
{
    if (bytes.empty())
        return;
    tail_[0] = bytes.size() > 1 ? bytes[bytes.size() - 2] : tail_[1];
    tail_[1] = bytes.back();
    if (framing_ == frame_as::chunks) {
        char size[20];
        auto n = std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
        held_.append(size, std::size_t(n)).append(bytes).append("\r\n");
    } else if (framing_ != frame_as::nothing) {
        held_ += bytes;
    }
    flush();
}

void client_sink::piece(char* data, std::size_t size, bool last)
{
    if (end_ != end::open)
        return;
    if (size != 0)
        at_.model_bytes = true;
    if (retells_) {
        std::string events;
        retold_.feed({data, size}, events);
        if (last)
            retold_.flush(events);
        body(events);
        if (last)
            finish();
        return;
    }
    if (size != 0) {
        tail_[0] = size > 1 ? data[size - 2] : tail_[1];
        tail_[1] = data[size - 1];
    }
    std::string_view bytes(data, size);
    if (framing_ == frame_as::chunks) {
        auto framed = frame_chunk_in_place(data, size, last);
        bytes = {framed.data(), framed.size()};
    } else if (framing_ == frame_as::nothing) {
        bytes = {};
    }
    if (last)
        end_ = end::complete;
    if (held_.empty()) {
        to_.write(bytes);
    } else {
        held_ += bytes;
        flush();
    }
    if (last && !manners_.keep_alive)
        to_.shut();
    after_write();
}

void client_sink::finish()
{
    end_ = end::complete;
    if (framing_ == frame_as::chunks)
        held_ += "0\r\n\r\n";
    flush();
    if (!manners_.keep_alive)
        to_.shut();
}

void client_sink::flush()
{
    if (held_.empty())
        return;
    to_.write(held_);
    held_.clear();
    after_write();
}

// A client that reads too slowly never slows Ollama: of a stream so much is kept for it, then it is
// cut; of anything, no more than there is memory for.
void client_sink::after_write()
{
    bool stream = needs_permit_ && call_.framed != shape::one_piece;
    bool full = stream && to_.backlog() > call_.settings->limits.client_buffer;
    if (!full && to_.within_budget())
        return;
    log::warn("a client that reads too slowly is cut",
              {{"id", call_.id},
               {"client", call_.client},
               {"unread_bytes", to_.backlog()},
               {"limit", full ? "limits.client_buffer" : "limits.memory"}});
    end_ = end::cut;
    ending_.request(full ? stop_reason::client_too_slow : stop_reason::memory_full, steady::now());
    to_.reset();
}

awaitable<void> client_sink::room()
{
    constexpr std::size_t enough = 256 * 1024;
    if (to_.backlog() <= enough)
        co_return;
    co_await to_.taken_down_to(enough / 2, instant::max());
}

void client_sink::fail(const fault& f, const std::vector<attempt>& tried, const timing& t)
{
    if (end_ != end::open)
        return;
    if (at_.head_committed) {
        bool sse = call_.framed == shape::sse || call_.framed == shape::native_sse;
        bool mid_line = tail_[1] != '\n' || (sse && tail_[0] != '\n');
        if (framing_ == frame_as::chunks || framing_ == frame_as::until_close)
            body(error_in_band(f, call_.where, call_.words, call_.framed, tried,
                               at_.model_bytes && mid_line));
        cut();
        return;
    }
    if (f.code == fault_code::draining)
        manners_.keep_alive = false;
    whole_error(http_status(f.code, call_.words), error_body(f, call_.words, tried), f.retry_after,
                tried, t);
}

// An error answer of its own, before any head.
void client_sink::whole_error(int status, std::string_view text, int retry_after,
                              const std::vector<attempt>& tried, const timing& t)
{
    begin_fields(status, {});
    held_ += call_.words == dialect::native ? "Content-Type: application/json; charset=utf-8\r\n"
                                            : "Content-Type: application/json\r\n";
    held_.append("Date: ").append(http_date()).append("\r\n");
    if (retry_after > 0)
        held_.append("Retry-After: ").append(std::to_string(retry_after)).append("\r\n");
    story_fields(t, tried);
    end_fields(text.size(), false);
    if (framing_ != frame_as::nothing)
        held_ += text;
    end_ = end::complete;
    flush();
    if (!manners_.keep_alive)
        to_.shut();
}

void client_sink::fail_with(int status, std::string_view text, const std::vector<attempt>& tried,
                            const timing& t)
{
    if (end_ != end::open)
        return;
    if (!at_.head_committed) {
        // Its own words, unchanged, unless there is more to tell than it knew of.
        // What Ollama said to a load of ours it said in its native words.
        bool foreign_words = call_.words != dialect::native && text.starts_with("{\"error\":\"");
        if (tried.size() > 1 || foreign_words)
            whole_error(status, upstream_error_body(status, text, call_.words, tried), 0, tried, t);
        else
            whole_error(status, text, 0, tried, t);
        return;
    }
    body(upstream_error_in_band(status, text, call_.where, call_.words, call_.framed, tried));
    cut();
}

void client_sink::cut()
{
    if (end_ == end::open)
        end_ = end::cut;
    flush();
}

}  // namespace gateway
