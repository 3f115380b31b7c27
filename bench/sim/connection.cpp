#include "bench/sim/connection.hpp"

#include "bench/sim/routes.hpp"

namespace sim {

namespace {

constexpr std::size_t max_head = 1 << 20;                     // http.DefaultMaxHeaderBytes
constexpr std::size_t max_drain = 256 << 10;                  // maxPostHandlerReadBytes
constexpr auto linger_time = std::chrono::milliseconds(500);  // rstAvoidanceDelay

}  // namespace

connection::connection(world& at, tcp::socket socket, asio::ssl::context* tls, std::uint64_t id)
    : at(at), wire_(std::move(socket), tls), id_(id), wake_(at.io), drip_timer_(at.io)
{
    if (at.set.send_buffer > 0)
        wire_.send_buffer(at.set.send_buffer);
    at.connections.insert(this);
    at.seen.connections.up();
    ++at.seen.accepted;
}

connection::~connection()
{
    at.connections.erase(this);
    at.seen.connections.down();
}

awaitable<void> connection::pause()
{
    wake_.expires_at(instant::max());
    co_await wake_.async_wait(as_result);
}

awaitable<void> connection::pause_until(instant when)
{
    wake_.expires_at(when);
    co_await wake_.async_wait(as_result);
}

void connection::drop()
{
    in_call_ = false;
    gone_ = dropped_ = true;
    close_ = true;
    wire_.close();
    drip_timer_.cancel();
    wake();
}

// --- reading
// --------------------------------------------------------------------------------------

void connection::read()
{
    if (reading_ || peer_closed_)
        return;
    reading_ = true;
    wire_.read_some(asio::buffer(incoming_),
                    [self = shared_from_this()](error_code ec, std::size_t n) {
                        self->reading_ = false;
                        self->in_.append(self->incoming_.data(), n);
                        if (ec) {
                            self->peer_closed_ = true;
                            if (self->watching_)
                                self->left();
                        }
                        // A byte of a next request ends net/http's background read: from here on
                        // nobody watches.
                        self->watching_ = false;
                        self->wake();
                    });
}

// net/http's startBackgroundRead.
void connection::watch()
{
    if (watching_ || !in_.empty())
        return;
    watching_ = true;
    if (peer_closed_)
        left();
    else
        read();
}

void connection::left()
{
    if (gone_)
        return;
    gone_ = true;
    if (in_call_)
        at.seen.aborted(record->model, phase, record->id, steady::now());
    in_call_ = false;
    wake();
}

awaitable<bool> connection::more()
{
    if (peer_closed_)
        co_return false;
    auto had = in_.size();
    read();
    while (reading_ && in_.size() == had && !at.stopping)
        co_await pause();
    co_return in_.size() > had;
}

awaitable<bool> connection::read_head()
{
    std::size_t end = std::string::npos;
    while (true) {
        if (in_.starts_with("\r\n"))
            in_.erase(0, 2);
        auto crlf = in_.find("\r\n\r\n");
        auto lf = in_.find("\n\n");
        if (crlf != std::string::npos)
            end = crlf + 4;
        if (lf != std::string::npos && lf + 2 < end)
            end = lf + 2;
        if (end != std::string::npos)
            break;
        if (in_.size() > max_head) {
            push(
                "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; "
                "charset=utf-8\r\nConnection: close\r\n\r\n431 Request Header Fields Too Large");
            co_return false;
        }
        auto came = co_await more();
        if (!came)
            co_return false;
    }
    auto parsed = parse_request_head(std::string_view(in_).substr(0, end));
    in_.erase(0, end);
    std::string_view wrong;
    if (!parsed || !body_.start(*parsed))
        wrong = "400 Bad Request";
    else if (parsed->minor == 1 && parsed->field("Host").empty())
        wrong = "400 Bad Request: missing required Host header";
    if (!wrong.empty()) {
        std::string text =
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Connection: close\r\n\r\n";
        text += wrong;
        push(text);
        co_return false;
    }
    head = std::move(*parsed);
    co_return true;
}

awaitable<bool> connection::read_part(std::string& part)
{
    if (continue_owed_) {
        continue_owed_ = false;
        push("HTTP/1.1 100 Continue\r\n\r\n");
    }
    auto had = part.size();
    while (true) {
        body_.take(in_, part);
        if (part.size() > had || body_.done())
            break;
        if (body_.bad()) {
            close_ = gone_ = true;
            co_return false;
        }
        auto came = co_await more();
        if (!came) {
            gone_ = true;
            co_return false;
        }
    }
    record->add_body(std::string_view(part).substr(had));
    if (body_.done())
        watch();
    co_return true;
}

awaitable<bool> connection::read_value(std::string& body)
{
    first_value value;
    while (!value.complete() && !body_.done()) {
        auto had = body.size();
        auto good = co_await read_part(body);
        if (!good)
            co_return false;
        value.feed(std::string_view(body).substr(had));
    }
    // The decoder's buffer takes what has arrived already: the end of the body is seen when it came
    // with the rest.
    if (!body_.done()) {
        auto had = body.size();
        body_.take(in_, body);
        record->add_body(std::string_view(body).substr(had));
        if (body_.done())
            watch();
    }
    co_return true;
}

awaitable<bool> connection::read_all(std::string& body)
{
    while (!body_.done()) {
        auto good = co_await read_part(body);
        if (!good)
            co_return false;
    }
    co_return true;
}

// What net/http does with the rest of a body before it writes the head of the answer.
awaitable<void> connection::drain_body()
{
    if (body_.done())
        co_return;
    if (continue_owed_ || body_.left() >= max_drain) {
        close_ = true;
        co_return;
    }
    std::string rest;
    while (!body_.done() && rest.size() <= max_drain) {
        auto good = co_await read_part(rest);
        if (!good)
            break;
    }
    if (!body_.done())
        close_ = true;
}

// --- the life of a connection
// ---------------------------------------------------------------------

// net/http's closeWriteAndWait, for a client that may still be sending.
awaitable<void> connection::linger()
{
    wire_.shut_down_send();
    auto until = steady::now() + linger_time;
    while (!peer_closed_ && steady::now() < until && !at.stopping) {
        in_.clear();
        co_await pause_until(until);
    }
}

awaitable<void> connection::serve()
{
    bool shaken = false;
    wire_.handshake([this, &shaken, self = shared_from_this()](error_code ec) {
        shaken = true;
        close_ = bool(ec);
        wake();
    });
    while (!shaken)
        co_await pause();
    while (!close_ && !at.stopping) {
        auto came = co_await read_head();
        if (!came)
            break;
        record = at.seen.request(id_);
        record->method = head.method;
        record->target = head.target;
        record->fields = head.fields;
        record->at = steady::now();
        close_ = !head.keep_alive();
        continue_owed_ = lowered(head.field("Expect")) == "100-continue";
        if (body_.done())
            watch();
        co_await handle(*this);
        end_call();
        drained_ = nullptr;
        co_await until_drained();
        watching_ = false;
        drip_ = {};
        split_ = 0;
        if (gone_ || cut_)
            break;
        if (!body_.done()) {
            co_await linger();
            break;
        }
    }
    wire_.close();
}

}  // namespace sim
