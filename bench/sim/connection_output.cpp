// How a connection writes: heads as net/http makes them, chunks, what the socket does not take at
// once.
#include <charconv>

#include "bench/sim/connection.hpp"

namespace sim {

namespace {

constexpr std::size_t before_chunking = 2048;  // net/http's bufferBeforeChunkingSize

void append_hex(std::string& out, std::size_t n)
{
    char digits[16];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, n, 16).ptr);
}

}  // namespace
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
    while (!dropped_)
        co_await pause();
    --at.seen.leaked_handlers;
}

}  // namespace sim
