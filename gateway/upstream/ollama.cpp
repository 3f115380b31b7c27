#include "upstream/ollama.hpp"

#include "base/digits.hpp"
#include "upstream/answer.hpp"

namespace gateway {

using boost::system::result;

std::string request_head(const upstream_url& to, std::string_view method, std::string_view target,
                         std::string_view fields, std::optional<std::uint64_t> length, bool chunked)
{
    std::string head;
    head.reserve(128 + to.prefix.size() + to.authority.size() + target.size() + fields.size());
    head.append(method).append(" ").append(to.prefix).append(target).append(" HTTP/1.1\r\nHost: ");
    head.append(to.authority).append("\r\n").append(fields);
    if (length) {
        head.append("Content-Length: ");
        append_number(head, std::int64_t(*length));
        head.append("\r\n");
    } else if (chunked)
        head.append("Transfer-Encoding: chunked\r\n");
    head.append("\r\n");
    return head;
}

bool says_busy(int status, std::string_view body)
{
    return status == 503 && body.find("server busy") != std::string_view::npos;
}

namespace {

constexpr std::size_t most_body = 64u << 20;

fault broken(std::string why)
{
    return fault{fault_code::upstream_failed, std::move(why), whose::upstream, retry::elsewhere, 0};
}

// One exchange on one connection; the caller's stop ends it.
awaitable<result<reply, fault>> converse(upstream_connection& c, const std::string& head,
                                         const std::string& body, bool& clean)
{
    upstream_connection::parts request{asio::buffer(head), asio::buffer(body)};
    auto [failed, sent] = co_await c.write(request);
    if (failed) {
        result<reply, fault> r(broken("the request could not be sent: " + failed.message()));
        co_return r;
    }
    std::string seen;
    std::size_t end = 0;
    while (end == 0) {
        auto [ec, n] = co_await c.read();
        if (ec || seen.size() > 64 * 1024) {
            result<reply, fault> r(broken(ec ? ec.message() : "its head is too long"));
            co_return r;
        }
        seen.append(c.data(), n);
        if (auto at = seen.find("\r\n\r\n"); at != std::string::npos)
            end = at + 4;
    }
    auto parsed = parse_answer(std::string_view(seen).substr(0, end), false);
    if (!parsed) {
        result<reply, fault> r(parsed.error());
        co_return r;
    }
    reply answer;
    answer.status = parsed->head.status;
    seen.erase(0, end);
    auto first = parsed->body.decode(std::span(seen.data(), seen.size()));
    bool extra = first.done && first.consumed != seen.size();
    seen.resize(first.payload);
    answer.body = std::move(seen);
    bool bad = first.bad;
    while (!parsed->body.done() && !bad && answer.body.size() <= most_body) {
        auto [ec, n] = co_await c.read();
        if (ec && parsed->body.ends_with_connection() && ec == asio::error::eof)
            break;
        if (ec) {
            bad = true;
            break;
        }
        auto step = parsed->body.decode(std::span(c.data(), n));
        bad = step.bad;
        extra = step.done && step.consumed != n;
        answer.body.append(c.data(), step.payload);
    }
    if (bad || answer.body.size() > most_body) {
        result<reply, fault> r(broken("its answer is cut short or too long"));
        co_return r;
    }
    clean = parsed->keep_alive && parsed->body.done() && !extra;
    result<reply, fault> r(std::move(answer));
    co_return r;
}

}  // namespace

awaitable<result<reply, fault>> ask(asio::io_context& io, upstream_pool& pool, std::string method,
                                    std::string path, std::string body, duration within,
                                    stop* outer)
{
    stop s;
    stop never_asked;
    stop::hook on_outer(outer != nullptr ? *outer : never_asked,
                        [&] { s.request(stop_reason::draining, steady::now()); });
    alarm bound(io, [&] { s.request(stop_reason::too_long, steady::now()); });
    bool bounded = within != duration::max();
    if (bounded)
        bound.set(steady::now() + within);
    auto connect = bounded ? within : duration(std::chrono::seconds(10));
    std::optional<std::uint64_t> length;
    if (!body.empty())
        length = body.size();
    auto head = request_head(pool.url(), method, path,
                             "Accept: application/json\r\nContent-Type: application/json\r\n"
                             "User-Agent: ollama-gateway\r\n",
                             length, false);
    auto late = [&] {
        return fault{fault_code::timed_out,
                     "no answer within " + std::to_string(ms(within)) + " ms", whose::upstream,
                     retry::elsewhere, 0};
    };
    for (bool fresh : {false, true}) {
        lease l;
        if (!fresh)
            l = pool.take_idle();
        if (!l) {
            auto got = co_await pool.connect(s, connect);
            if (!got) {
                result<reply, fault> r(s.requested() ? late() : got.error());
                co_return r;
            }
            l = std::move(*got);
        }
        stop::hook on_stop(s, [&] { l->close(); });
        bool clean = false;
        bool stale = l->used_before;
        auto r = co_await converse(*l, head, body, clean);
        if (!r && s.requested()) {
            result<reply, fault> timed(late());
            co_return timed;
        }
        if (!r && stale && !fresh)
            continue;  // the other side had closed it meanwhile; these questions may be asked twice
        if (clean)
            l.keep();
        co_return r;
    }
    result<reply, fault> never(broken("not reached"));
    co_return never;
}

}  // namespace gateway
