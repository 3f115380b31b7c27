// In which bytes a waiting client is told of its wait (SPEC §6). Pure.
#pragma once

#include <cstdint>

namespace gateway {

// How a call is told of its wait: from the request alone.
enum class telling : std::uint8_t {
    padding,       // one space: native streams, one-piece answers
    comment,       // `: queued position=2 waited=12s\n\n`: OpenAI streams
    ping,          // `event: ping\ndata: {"type":"ping"}\n\n`: /v1/messages streams
    native_chunk,  // asked: an empty chunk of the endpoint's shape with "queue_status":{…} (NDJSON)
    sse_chunk,     // asked: event: queue_status, data shaped as an empty chunk plus the payload's
                   // fields
    sse_raw,     // asked raw, and native endpoints with Accept: text/event-stream: the bare payload
    open_webui,  // an empty chunk with "event":{"type":"status",…}
    silent,      // X-Gateway-Heartbeat: off
};

// Is this a telling each status_interval (told at once), not each heartbeat?
constexpr bool is_event(telling t)
{
    return t == telling::native_chunk || t == telling::sse_chunk || t == telling::sse_raw ||
           t == telling::open_webui;
}

}  // namespace gateway
