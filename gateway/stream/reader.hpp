// What an answer says of itself as its pieces go by: has it come to its end marker, did it end in
// an error, how many tokens. Copies nothing unless a line straddles two pieces; parses JSON only
// for the few lines that can be final. Pure.
#pragma once

#include "base/clock.hpp"
#include "call/kinds.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

struct record;

struct usage {
    std::uint64_t prompt_tokens = 0;
    std::uint64_t completion_tokens = 0;
};

// How the *upstream's* answer is framed.
enum class framing : std::uint8_t { ndjson, sse, one_piece };

// A line longer than this is passed over by the reader, and re-told as it comes.
inline constexpr std::size_t longest_record = 16 * 1024 * 1024;

class stream_reader {
public:
    // `e` says which end marker counts: a top-level `"done":true` (native), `[DONE]`
    // (chat_completions, completions), `response.completed|incomplete|failed` (responses),
    // `message_stop` (messages). Ollama's own error line or error event is an end too. An SSE event
    // counts when its blank line has come: before that no client acts on it.
    stream_reader(framing f, endpoint e);

    // Looks at the next piece of body, cut anywhere. `stays`: its bytes stand where they are until
    // told() has been asked, and need not be copied.
    void feed(std::string_view piece, bool stays = false);

    // The body has ended: a last NDJSON record without a newline counts as a line.
    void finish();

    bool complete() const { return complete_; }  // the end marker has gone by (never for one_piece)
    bool error_seen() const { return error_seen_; }  // it ended in Ollama's own error event
    const std::string& error_text() const { return error_text_; }
    // All of the last piece fed belongs to whole lines and the end marker was in its last line.
    bool at_end() const { return at_end_; }
    // A record has begun and not ended: what is told now must start on a new line.
    bool mid_record() const { return overlong_ || !carry_.empty() || event_open_; }
    struct account {
        usage tokens;  // zeros when not told
        // How long the model worked on it. Only the native endpoints tell it.
        std::optional<duration> ran;
    };
    // Ollama's own: valid once complete, or for one_piece after the last piece.
    account told() const;
    std::uint64_t records() const { return records_; }  // lines or events so far

private:
    // What an event's name says of its data.
    enum class event : std::uint8_t { unnamed, ordinary, tells_usage, ends, fails };

    void feed_lines(std::string_view piece);
    void keep(std::string_view piece);
    void line(std::string_view l);
    void native_line(std::string_view l);
    void sse_line(std::string_view l);
    void sse_data(std::string_view data);
    void openai_data(std::string_view data);
    void named_data(std::string_view data);
    void end_event();
    void take_usage(const record& r);
    record one_piece() const;
    event event_named(std::string_view name) const;

    framing framing_;
    endpoint endpoint_;
    // The begun line; at most 16 MiB, then it is only passed over. one_piece: the whole, or its
    // end.
    std::string carry_;
    std::string_view stands_;  // one_piece, of which nothing was kept: all of it
    bool overlong_ = false;
    bool tail_only_ = false;  // one_piece: the beginning is gone from carry_
    bool complete_ = false;
    bool error_seen_ = false;
    bool at_end_ = false;
    bool end_was_last_ = false;  // no record has come since the end marker
    // SSE, of the event that has begun:
    event event_ = event::unnamed;
    bool event_open_ = false;
    bool has_data_ = false;
    bool ends_ = false;
    bool fails_ = false;
    std::string error_text_;
    usage usage_;
    std::optional<duration> ran_;
    std::uint64_t records_ = 0;
};

// Re-tells NDJSON as SSE for a native endpoint asked with Accept: text/event-stream: each line
// becomes `data: <line>\n\n`. Blank lines vanish. Takes pieces cut anywhere; a line is told when it
// is whole (one over 16 MiB as it comes).
class ndjson_to_sse {
public:
    // Appends to `out` what can be told by now.
    void feed(std::string_view piece, std::string& out);
    // The body has ended well: gives a last line that had no newline. What a cut answer left is
    // dropped with the object instead.
    void flush(std::string& out);
    // An event has been told in part.
    bool mid_record() const { return telling_; }

private:
    void tell(std::string_view part, std::string& out);
    void end_line(std::string& out);

    std::string carry_;     // the begun line, without the white space before it
    bool telling_ = false;  // the line is too long to be kept: its beginning is told
};

}  // namespace gateway
