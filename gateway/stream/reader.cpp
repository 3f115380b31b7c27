// Watches an answer go by. An ordinary chunk costs one memchr and a look at its last bytes.
#include "stream/reader.hpp"

#include "stream/record.hpp"

#include <algorithm>
#include <utility>

namespace gateway {

namespace {

constexpr std::size_t longest_kept_piece = 256 * 1024;
constexpr std::size_t tail_size = 8 * 1024;

// How Go's encoder ends nearly every chunk. Both leave the record closed by that very brace, so a
// final record cannot end so: of two keys `done` the last one counts.
constexpr std::string_view native_chunk_end = "\"done\":false}";
constexpr std::string_view openai_chunk_end = "\"finish_reason\":null}]}";

std::string_view without_cr(std::string_view l)
{
    return l.ends_with('\r') ? l.substr(0, l.size() - 1) : l;
}

bool is_blank(std::string_view l)
{
    return l.find_first_not_of(" \t\r") == std::string_view::npos;
}

bool contains(std::string_view text, std::string_view part)
{
    return text.find(part) != std::string_view::npos;
}

}  // namespace

stream_reader::stream_reader(framing f, endpoint e) : framing_(f), endpoint_(e) {}

void stream_reader::feed(std::string_view piece, bool stays)
{
    if (piece.empty()) {
        return;
    }
    if (framing_ == framing::one_piece) {
        if (stays && carry_.empty() && piece.size() <= longest_kept_piece) {
            stands_ = piece;
        } else {
            keep(piece);
        }
        return;
    }
    feed_lines(piece);
    at_end_ = end_was_last_ && !mid_record();
}

void stream_reader::finish()
{
    if (framing_ == framing::ndjson && !carry_.empty()) {
        line(carry_);
        carry_.clear();
        at_end_ = end_was_last_;
    }
}

void stream_reader::feed_lines(std::string_view piece)
{
    while (!piece.empty()) {
        auto newline = piece.find('\n');
        auto part = piece.substr(0, newline);
        bool whole = newline != std::string_view::npos;
        bool fits = !overlong_ && carry_.size() + part.size() <= longest_record;
        if (whole && fits && carry_.empty()) {
            line(part);
        } else if (fits) {
            carry_ += part;
            if (whole) {
                line(carry_);
                carry_.clear();
            }
        } else {
            // Passed over: what is that long is no end marker of any version of Ollama.
            overlong_ = !whole;
            carry_ = std::string();
            if (whole) {
                ++records_;
                end_was_last_ = false;
            }
        }
        if (!whole) {
            return;
        }
        piece.remove_prefix(newline + 1);
    }
}

void stream_reader::keep(std::string_view piece)
{
    if (!tail_only_ && carry_.size() + piece.size() <= longest_kept_piece) {
        carry_ += piece;
        return;
    }
    tail_only_ = true;
    if (piece.size() >= tail_size) {
        carry_.assign(piece.substr(piece.size() - tail_size));
        return;
    }
    carry_ += piece;
    if (carry_.size() > 8 * tail_size) {
        carry_.erase(0, carry_.size() - tail_size);
    }
}

// What is kept of a one-piece answer, read.
record stream_reader::one_piece() const
{
    const auto kept = carry_.empty() ? stands_ : std::string_view(carry_);
    return tail_only_
               ? read_record_tail(kept.substr(kept.size() - std::min(kept.size(), tail_size)))
               : read_record(kept);
}

stream_reader::account stream_reader::told() const
{
    if (framing_ != framing::one_piece) {
        return {usage_, ran_};
    }
    const auto r = one_piece();
    return {{r.prompt_tokens.value_or(0), r.completion_tokens.value_or(0)}, r.ran};
}

void stream_reader::line(std::string_view l)
{
    l = without_cr(l);
    if (framing_ == framing::sse) {
        sse_line(l);
    } else if (!is_blank(l)) {
        ++records_;
        end_was_last_ = false;
        native_line(l);
    }
}

void stream_reader::native_line(std::string_view l)
{
    if (l.ends_with(native_chunk_end)) {
        return;
    }
    // A text never contains these: its quotes are escaped. A tool call's arguments may.
    if (!contains(l, "\"done\"") && !contains(l, "\"error\"")) {
        return;
    }
    auto r = read_record(l);
    if (!r.whole) {
        return;
    }
    if (r.error) {
        error_seen_ = true;
        error_text_ = std::move(r.error_text);
    }
    if (r.done || r.error) {
        take_usage(r);
        ran_ = r.ran;
        complete_ = true;
        end_was_last_ = true;
    }
}

void stream_reader::sse_line(std::string_view l)
{
    if (l.empty()) {
        end_event();
        return;
    }
    if (l.starts_with("data:")) {
        l.remove_prefix(5);
        if (l.starts_with(' ')) {
            l.remove_prefix(1);
        }
        event_open_ = true;
        has_data_ = true;
        end_was_last_ = false;
        sse_data(l);
    } else if (l.starts_with("event:")) {
        l.remove_prefix(6);
        if (l.starts_with(' ')) {
            l.remove_prefix(1);
        }
        event_open_ = true;
        event_ = event_named(l);
    }
}

void stream_reader::end_event()
{
    if (has_data_) {
        ++records_;
        error_seen_ = error_seen_ || fails_;
        if (ends_ || fails_) {
            complete_ = true;
            end_was_last_ = true;
        }
    }
    event_ = event::unnamed;
    event_open_ = has_data_ = ends_ = fails_ = false;
}

stream_reader::event stream_reader::event_named(std::string_view name) const
{
    if (name == "error") {
        return event::fails;
    }
    if (endpoint_ == endpoint::responses) {
        if (name == "response.failed") {
            return event::fails;
        }
        return name == "response.completed" || name == "response.incomplete" ? event::ends
                                                                             : event::ordinary;
    }
    if (endpoint_ == endpoint::messages) {
        if (name == "message_start" || name == "message_delta") {
            return event::tells_usage;
        }
        return name == "message_stop" ? event::ends : event::ordinary;
    }
    return event::unnamed;  // the [DONE] endpoints: a name means nothing there
}

void stream_reader::sse_data(std::string_view data)
{
    if (endpoint_ == endpoint::responses || endpoint_ == endpoint::messages) {
        named_data(data);
    } else {
        openai_data(data);
    }
}

void stream_reader::openai_data(std::string_view data)
{
    if (data == "[DONE]") {
        ends_ = true;
        return;
    }
    if (event_ == event::unnamed && data.ends_with(openai_chunk_end)) {
        return;
    }
    if (event_ != event::fails && !contains(data, "\"usage\"") && !contains(data, "\"error\"")) {
        return;
    }
    auto r = read_record(data);
    if (r.error || event_ == event::fails) {
        fails_ = true;
        error_text_ = std::move(r.error_text);
    }
    take_usage(r);
}

void stream_reader::named_data(std::string_view data)
{
    auto what = event_;
    if (what == event::ordinary) {
        return;
    }
    auto r = read_record(data);
    if (what == event::unnamed) {
        what = r.error ? event::fails : event_named(r.type);
    }
    ends_ = ends_ || what == event::ends;
    take_usage(r);
    if (what == event::fails) {
        fails_ = true;
        error_text_ = std::move(r.error_text);
    }
}

// Anthropic's counts come in two events, and each tells the other's as 0.
void stream_reader::take_usage(const record& r)
{
    if (r.prompt_tokens.value_or(0) != 0) {
        usage_.prompt_tokens = *r.prompt_tokens;
    }
    if (r.completion_tokens.value_or(0) != 0) {
        usage_.completion_tokens = *r.completion_tokens;
    }
}

}  // namespace gateway
