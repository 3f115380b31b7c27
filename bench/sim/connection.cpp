#include "bench/sim/connection.hpp"

#include <charconv>

#include "bench/sim/routes.hpp"

namespace sim {

namespace {

constexpr std::size_t max_head = 1 << 20;                     // http.DefaultMaxHeaderBytes
constexpr std::size_t max_drain = 256 << 10;                  // maxPostHandlerReadBytes
constexpr std::size_t before_chunking = 2048;                 // net/http's bufferBeforeChunkingSize
constexpr auto linger_time = std::chrono::milliseconds(500);  // rstAvoidanceDelay

void append_hex(std::string& out, std::size_t n)
{
    char digits[16];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, n, 16).ptr);
}

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
    gone_ = true;
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

// --- writing
// --------------------------------------------------------------------------------------

void connection::push(std::string_view bytes)
{
    if (gone_ || !wire_.open())
        return;
    if (drip_ > duration::zero()) {
        out_ += bytes;
        if (!writing_)
            write_drip();
        return;
    }
    if (!blocked()) {
        error_code ec;
        auto n = wire_.write_now(bytes, ec);
        if (ec) {
            peer_closed_ = true;
            left();
            return;
        }
        bytes.remove_prefix(n);
        if (bytes.empty())
            return;
    }
    out_ += bytes;
    if (!writing_)
        write_rest();
}

void connection::write_rest()
{
    writing_ = true;
    sending_.swap(out_);
    out_.clear();
    wire_.write(asio::buffer(sending_), [self = shared_from_this()](error_code ec, std::size_t) {
        self->writing_ = false;
        if (ec) {
            self->out_.clear();
            self->peer_closed_ = true;
            self->left();
            return;
        }
        if (!self->out_.empty()) {
            self->write_rest();
            return;
        }
        if (self->drained_ != nullptr)
            self->drained_->due(steady::now());
        self->wake();
    });
}

void connection::write_drip()
{
    writing_ = true;
    drip_timer_.expires_after(drip_);
    drip_timer_.async_wait([self = shared_from_this()](error_code) {
        self->writing_ = false;
        if (self->gone_ || self->out_.empty()) {
            self->out_.clear();
            self->wake();
            return;
        }
        error_code ec;
        auto n = self->wire_.write_now(std::string_view(self->out_).substr(0, 1), ec);
        self->out_.erase(0, n);
        if (ec) {
            self->out_.clear();
            self->peer_closed_ = true;
            self->left();
        } else if (!self->out_.empty()) {
            self->write_drip();
        } else {
            if (self->drained_ != nullptr)
                self->drained_->due(steady::now());
            self->wake();
        }
    });
}

awaitable<void> connection::until_drained()
{
    while (blocked() && !gone_)
        co_await pause();
}

std::string connection::start_line(int status) const
{
    std::string out = "HTTP/1.";
    out += head.minor == 1 ? '1' : '0';
    out += ' ';
    out += std::to_string(status);
    out += ' ';
    out += reason_phrase(status);
    out += "\r\n";
    return out;
}

std::string connection::tail_fields(bool chunked, std::size_t length) const
{
    std::string out = "Date: " + http_date(at.wall.now().seconds) + "\r\n";
    if (!chunked && length != SIZE_MAX)
        out += "Content-Length: " + std::to_string(length) + "\r\n";
    if (close_ && head.minor == 1)
        out += "Connection: close\r\n";
    else if (!close_ && head.minor == 0)
        out += "Connection: keep-alive\r\n";
    if (chunked)
        out += "Transfer-Encoding: chunked\r\n";
    return out + "\r\n";
}

awaitable<void> connection::reply(answer a)
{
    co_await drain_body();
    if (gone_)
        co_return;
    record->status = a.status;
    bool bodiless = a.status == 204 || head.method == "HEAD";
    bool big = a.body.size() > before_chunking;
    bool chunked = big && head.minor == 1 && !bodiless;
    if (big && head.minor == 0)
        close_ = true;
    auto out = start_line(a.status);
    out += a.fields;
    if (!a.body.empty())
        out += "Content-Type: " + a.type + "\r\n";
    out += tail_fields(chunked, a.status == 204 || big ? SIZE_MAX : a.body.size());
    if (!bodiless && !chunked)
        out += a.body;
    if (chunked) {
        held_ = std::move(out);
        chunked_ = true;
        frame(a.body);
        end_stream();
    } else {
        push(out);
        record->complete = !cut_;
    }
}

awaitable<void> connection::start_stream(std::string_view type, std::string_view fields)
{
    co_await drain_body();
    record->status = 200;
    chunked_ = head.minor == 1;
    if (!chunked_)
        close_ = true;
    held_ = start_line(200);
    if (!close_ || fields.find("Connection:") == std::string_view::npos)
        held_ += fields;
    held_ += "Content-Type: ";
    held_ += type;
    held_ += "\r\n";
    held_ += tail_fields(chunked_, SIZE_MAX);
}

void connection::frame(std::string_view data)
{
    scratch_.clear();
    if (!held_.empty()) {
        scratch_ = std::move(held_);
        held_.clear();
    }
    if (!chunked_) {
        scratch_ += data;
    } else {
        auto size = split_ > 0 ? split_ : data.size();
        for (std::size_t i = 0; i < data.size(); i += size) {
            auto piece = data.substr(i, size);
            append_hex(scratch_, piece.size());
            scratch_ += "\r\n";
            scratch_ += piece;
            scratch_ += "\r\n";
        }
    }
    push(scratch_);
}

void connection::end_stream()
{
    if (cut_)
        return;
    if (!held_.empty()) {
        push(held_);
        held_.clear();
    }
    if (chunked_)
        push("0\r\n\r\n");
    record->complete = !gone_;
}

void connection::reset_now()
{
    wire_.reset();
    in_call_ = false;
    gone_ = close_ = true;
}

void connection::begin_call(std::string model)
{
    record->model = std::move(model);
    in_call_ = true;
}

awaitable<void> connection::leak()
{
    ++at.seen.leaked_handlers;
    while (!at.stopping)
        co_await pause();
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
