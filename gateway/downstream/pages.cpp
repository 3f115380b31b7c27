#include "downstream/pages.hpp"

#include "downstream/client_sink.hpp"
#include "stream/frames.hpp"

#include <boost/beast/http/status.hpp>

namespace gateway {

void responder::begin(int status, std::string_view type, std::string_view fields)
{
    auto reason =
        boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(unsigned(status)));
    out_ = manners_.http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ";
    out_.append(std::to_string(status)).append(" ").append(reason.data(), reason.size());
    if (!type.empty())
        out_.append("\r\nContent-Type: ").append(type);
    out_.append("\r\nDate: ").append(http_date());
    if (!manners_.id.empty())
        out_.append("\r\nX-Request-Id: ").append(manners_.id);
    out_.append("\r\n").append(manners_.extra_fields).append(fields);
    answered_ = true;
}

void responder::begin_whole(int status, std::string_view type, std::string_view fields,
                            std::size_t size)
{
    begin(status, type, fields);
    if (status != 204)
        out_.append("Content-Length: ").append(std::to_string(size)).append("\r\n");
    if (!manners_.keep_alive)
        out_ += "Connection: close\r\n";
    else if (manners_.http_1_0)
        out_ += "Connection: keep-alive\r\n";
    out_ += "\r\n";
}

void responder::whole(int status, std::string_view type, std::string_view body,
                      std::string_view fields)
{
    begin_whole(status, type, fields, body.size());
    if (!manners_.head_only)
        out_ += body;
    to_.write(out_);
    if (!manners_.keep_alive)
        to_.shut();
}

awaitable<void> responder::json_in_parts(int status, std::vector<std::string> parts)
{
    std::size_t size = 0;
    for (const auto& p : parts)
        size += p.size();
    begin_whole(status, "application/json", {}, size);
    to_.write(out_);
    for (auto& p : parts) {
        to_.write(p);
        std::string().swap(p);
        bool here = co_await room();
        if (!here)
            break;
    }
    if (!manners_.keep_alive)
        to_.shut();
}

void responder::takes_only(std::string_view methods)
{
    std::string why = "use ";
    for (char c : methods)
        why += c == ',' ? std::string(" or") : std::string(1, c);
    fail({fault_code::bad_method, std::move(why), whose::client, retry::no, 0}, dialect::native,
         "Allow: " + std::string(methods) + "\r\n");
}

void responder::fail(const fault& f, dialect d, std::string_view more)
{
    std::string fields(more);
    if (f.retry_after > 0)
        fields += "Retry-After: " + std::to_string(f.retry_after) + "\r\n";
    whole(http_status(f.code, d),
          d == dialect::native ? "application/json; charset=utf-8" : "application/json",
          error_body(f, d, {}), fields);
}

void responder::begin_events()
{
    // The end of an event stream is the connection's: no reader of ours needs another.
    manners_.keep_alive = false;
    begin(
        200, "text/event-stream",
        "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\nConnection: close\r\n");
    if (!manners_.http_1_0)
        out_ += "Transfer-Encoding: chunked\r\n";
    out_ += "\r\n";
    to_.write(out_);
}

void responder::event(std::string_view name, std::string_view data)
{
    std::string text;
    if (!name.empty())
        text.append("event: ").append(name).append("\n");
    text.append("data: ").append(data).append("\n\n");
    comment(text);
}

void responder::comment(std::string_view text)
{
    if (manners_.http_1_0) {
        to_.write(text);
        return;
    }
    char size[20];
    auto n = std::snprintf(size, sizeof size, "%zx\r\n", text.size());
    out_.assign(size, std::size_t(n)).append(text).append("\r\n");
    to_.write(out_);
}

void responder::end()
{
    if (!manners_.http_1_0)
        to_.write("0\r\n\r\n");
    to_.shut();
}

awaitable<bool> responder::pause(duration d)
{
    auto until = steady::now() + d;
    auto here = [this] { return to_.left() == client_connection::leaving::no && !to_.closed(); };
    while (steady::now() < until && here())
        co_await to_.more_than(to_.ahead().size(), until);
    bool stays = here() && to_.within_budget();
    co_return stays;
}

awaitable<bool> responder::room()
{
    constexpr std::size_t enough = 256 * 1024;
    if (to_.backlog() > enough)
        co_await to_.taken_down_to(enough / 2, instant::max());
    co_return to_.left() == client_connection::leaving::no&& to_.within_budget();
}

}  // namespace gateway
