// Where an answer goes: a client's socket, or a job's rows. The exchange does not know
// which. Nothing here blocks: what the other side does not take at once is kept, within bounds.
#pragma once

#include "async/stop.hpp"
#include "async/words.hpp"
#include "call/attempt.hpp"
#include "call/call.hpp"
#include "call/fault.hpp"
#include "call/queue_status.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gateway {

// An upstream's head as it is passed on.
struct answer_head {
    int status = 200;
    std::string reason;                   // of the status line; may be empty
    std::string fields;                   // header lines, each with its CRLF, without framing
    std::string model;                    // that answered; empty: none, or none that can be told
    std::string content_type;             // its value, also among the fields
    std::optional<std::uint64_t> length;  // of the body; none: unknown until it ends
    bool no_body = false;                 // HEAD, 204, 304
};

// What goes into the answer's own header fields.
struct timing {
    std::int64_t queue_us = 0;
    std::int64_t load_us = 0;
    std::int64_t upstream_us = 0;
};

// The two points of no return. They are kept by the sink and never guessed.
struct progress {
    bool head_committed = false;  // from here errors travel in-band
    bool model_bytes = false;     // from here no other attempt
};

class sink {
public:
    virtual ~sink() = default;

    // Where the other side says that it has left, and where the exchange hangs its hooks.
    virtual stop& ending() = 0;
    virtual progress at() const = 0;

    // A telling while it waits; commits the head when that has not happened. `over`: the last one,
    // the wait is over. `refresh`: an empty chunk that only resets a client's patience
    // (courtesy.hpp).
    virtual void tell(const queue_status& status, bool over, bool refresh) = 0;

    // It stands in the queue, or stands there again: nothing of it is under way.
    virtual void queued() {}
    // Its bytes are on an upstream's wire.
    virtual void sent() {}

    // The upstream's head, unless one was committed; then only its body counts.
    virtual void head(const answer_head& head, const timing& t,
                      const std::vector<attempt>& tried) = 0;

    // The next `size` bytes of body. `data` has frame_headroom writable bytes before and
    // frame_tailroom after it (wire/chunk_frame.hpp). `last`: the answer is complete with it.
    virtual void piece(char* data, std::size_t size, bool last) = 0;

    // Nothing more is at hand: what is held back to go out in one write goes out now.
    virtual void flush() = 0;

    // Returns when little enough is waiting to be taken: plain back-pressure, for what needs no
    // permit.
    virtual awaitable<void> room() = 0;

    // Ends in an error of ours: a whole answer before the head; after it in-band, then cut.
    virtual void fail(const fault& f, const std::vector<attempt>& tried, const timing& t) = 0;
    // Ends in an upstream's own error answer, that was read whole and not passed on: because
    // something else was tried after it, or because our head was already committed.
    virtual void fail_with(int status, std::string_view body, const std::vector<attempt>& tried,
                           const timing& t) = 0;
    // Ends without another word, and never looks complete.
    virtual void cut() = 0;
    // All that was tried, as long as it took: when the call is over, before its end is told if that
    // is told by one of the three above.
    virtual void attempted(const std::vector<attempt>&) {}
};

// What serves a call: the exchange. Returns when everything of it is over but for bytes that the
// sink still keeps for a slow client.
class service {
public:
    virtual ~service() = default;
    virtual awaitable<void> serve(call& c, sink& to) = 0;
};

}  // namespace gateway
