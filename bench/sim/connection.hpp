// One client's connection: reads requests, lets a handler answer each, and notices that the client
// has left exactly when Go's net/http would (background read after the body's end; a pipelined byte
// blinds it).
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "bench/sim/asio.hpp"
#include "bench/sim/frames.hpp"
#include "bench/sim/http.hpp"
#include "bench/sim/pacer.hpp"
#include "bench/sim/wire.hpp"
#include "bench/sim/world.hpp"

namespace sim {

// A whole answer.
struct answer {
    int status = 200;
    std::string type = "application/json; charset=utf-8";
    std::string body;
    std::string fields;  // further ones, each ending in \r\n, before Date
};

class connection final : public std::enable_shared_from_this<connection>, public frame_sink {
public:
    connection(world& at, tcp::socket socket, asio::ssl::context* tls, std::uint64_t id);
    ~connection();

    // The whole life of the connection. The caller keeps it alive (shared_from_this) meanwhile.
    awaitable<void> serve();
    // The server stops or restarts: ends whatever runs.
    void drop();

    // --- for handlers
    // -----------------------------------------------------------------------------
    world& at;
    request_head head;
    std::shared_ptr<request_record> record;

    // The client has left, or the server stops: return at once, write nothing.
    bool gone() const { return gone_; }
    // Until wake(), or until `when`. Spurious wake-ups happen: decide by state.
    awaitable<void> pause();
    awaitable<void> pause_until(instant when);
    void wake() { wake_.cancel(); }

    // While a call is named here, the client's leaving counts as its abort, in `phase`.
    void begin_call(std::string model);
    void end_call() { in_call_ = false; }
    std::string_view phase = "";

    // The body as json.Decoder reads it: until its first value is complete. False: the client is
    // gone.
    awaitable<bool> read_value(std::string& body);
    // All of it.
    awaitable<bool> read_all(std::string& body);
    // Some more of it, at least a byte unless body_done().
    awaitable<bool> read_part(std::string& part);
    bool body_done() const { return body_.done(); }

    awaitable<void> reply(answer a);
    // Before the first frame() of a stream. `fields` as in answer.
    awaitable<void> start_stream(std::string_view type, std::string_view fields = {});
    // One HTTP chunk, as one flush of Ollama makes it. The first takes the head along.
    void frame(std::string_view data) override;
    void end_stream();

    // Ollama's write would block now; `drained` (may be null) is due when it no longer does.
    bool blocked() const { return writing_ || !out_.empty(); }
    void when_drained(paced* who) { drained_ = who; }
    awaitable<void> until_drained();

    // The handler never returns and the socket stays open (§3.3).
    awaitable<void> leak();

    // For faults.
    void raw(std::string_view bytes) { push(bytes); }
    void close_after_this() { close_ = true; }
    void reset_now();
    void drip(duration per_byte) { drip_ = per_byte; }
    void split_chunks(std::size_t size) { split_ = size; }
    // Everything that was said since the request began goes out without an end: FIN.
    void cut() { close_ = cut_ = true; }

private:
    awaitable<bool> read_head();
    awaitable<bool> more();
    awaitable<void> drain_body();
    awaitable<void> linger();
    void read();
    void watch();
    void push(std::string_view bytes);
    void write_rest();
    void write_drip();
    void left();
    std::string start_line(int status) const;
    std::string tail_fields(bool chunked, std::size_t length) const;

    wire wire_;
    std::uint64_t id_;
    asio::steady_timer wake_;
    asio::steady_timer drip_timer_;
    std::array<char, 8192> incoming_;
    std::string in_;
    std::string out_;
    std::string sending_;
    std::string held_;     // the head of a stream whose first chunk has not come
    std::string scratch_;  // where a chunk is framed
    body_decoder body_;
    paced* drained_ = nullptr;
    duration drip_{};
    std::size_t split_ = 0;
    bool reading_ = false;
    bool writing_ = false;
    bool peer_closed_ = false;
    bool watching_ = false;
    bool gone_ = false;
    bool dropped_ = false;
    bool close_ = false;
    bool cut_ = false;
    bool in_call_ = false;
    bool chunked_ = false;
    bool continue_owed_ = false;
};

}  // namespace sim
