// Beast's basic_parser reads the grammar, into views of the head and never into its header map.
#include "upstream/answer.hpp"

#include "base/text.hpp"
#include "wire/head_parser.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/status.hpp>

#include <algorithm>
#include <functional>
#include <list>
#include <vector>

namespace gateway {
namespace {

namespace http = boost::beast::http;
using beast_error = boost::beast::error_code;
using beast_view = boost::beast::string_view;

std::string_view view(beast_view s)
{
    return {s.data(), s.size()};
}

fault bad(std::string why)
{
    return fault{fault_code::upstream_failed, "the upstream's answer is broken: " + std::move(why),
                 whose::upstream, retry::elsewhere, 0};
}

// Concerns the connection, or is ours to say.
bool is_ours(http::field f, std::string_view name)
{
    switch (f) {
        case http::field::connection:
        case http::field::keep_alive:
        case http::field::proxy_connection:
        case http::field::proxy_authenticate:
        case http::field::te:
        case http::field::trailer:
        case http::field::transfer_encoding:
        case http::field::upgrade:
        case http::field::content_length: return true;
        default: break;
    }
    switch (to_lower(name.front())) {
        case 'a': return istarts_with(name, "access-control-");
        case 's': return iequals(name, "server-timing");
        case 'x': return iequals(name, "x-request-id") || istarts_with(name, "x-gateway-");
        default: return false;
    }
}

struct line {
    http::field field;
    std::string_view name;
    std::string_view value;
};

class answer_reader final : public head_parser<false> {
public:
    explicit answer_reader(std::string_view head) : head_parser(head.size()), head_(head)
    {
        constexpr std::size_t usual_lines = 16;
        lines_.reserve(usual_lines);
    }

    bool is_http_1_0() const { return version_ < 11; }
    int status() const { return status_; }
    std::string_view reason() const { return reason_; }
    // Lines of one name stand together, after the first of them.
    const std::vector<line>& lines() const { return lines_; }

private:
    void on_response_impl(int status, beast_view reason, int version, beast_error&) override
    {
        status_ = status;
        reason_ = view(reason.empty() ? http::obsolete_reason(http::int_to_status(unsigned(status)))
                                      : reason);
        version_ = version;
    }

    void on_field_impl(http::field f, beast_view name, beast_view value, beast_error&) override
    {
        line l{f, view(name), view(value)};
        // One that was folded over several lines stands in the parser's memory, and only for now.
        bool in_head =
            std::less_equal<>()(head_.data(), l.value.data()) &&
            std::less_equal<>()(l.value.data() + l.value.size(), head_.data() + head_.size());
        if (!in_head)
            l.value = unfolded_.emplace_back(l.value);
        auto last = std::find_if(lines_.rbegin(), lines_.rend(), [&](const line& before) {
            return before.field == f && iequals(before.name, l.name);
        });
        lines_.insert(last == lines_.rend() ? lines_.end() : last.base(), l);
    }

    std::string_view head_;
    int version_ = 0;
    int status_ = 0;
    std::string_view reason_;
    std::vector<line> lines_;
    std::list<std::string> unfolded_;
};

}  // namespace

boost::system::result<answer, fault> parse_answer(std::string_view bytes, bool to_head)
{
    answer_reader head(bytes);
    error_code ec;
    head.put(boost::asio::buffer(bytes.data(), bytes.size()), ec);
    if (ec || !head.is_header_done())
        return bad(ec ? ec.message() : "no head");

    answer a;
    a.head.status = head.status();
    a.head.reason = head.reason();
    if (a.head.status < 100 || a.head.status > 599)
        return bad("status " + std::to_string(a.head.status));
    a.interim = a.head.status < 200;
    if (a.head.status == 101)
        return bad("it switches protocols unasked");

    // What `Connection` names concerns only that connection too.
    std::vector<std::string_view> named;
    bool close = head.is_http_1_0();
    std::string_view coding, length;
    unsigned codings = 0, lengths = 0;
    for (const auto& l : head.lines()) {
        if (l.field == http::field::connection) {
            for (auto token : split(l.value, ',')) {
                if (iequals(token, "close"))
                    close = true;
                else if (iequals(token, "keep-alive") && head.is_http_1_0())
                    close = false;
                named.push_back(token);
            }
        } else if (l.field == http::field::transfer_encoding) {
            ++codings;
            coding = l.value;
        } else if (l.field == http::field::content_length) {
            ++lengths;
            length = l.value;
        }
    }
    a.head.fields.reserve(bytes.size());
    for (const auto& l : head.lines()) {
        if (is_ours(l.field, l.name) ||
            std::any_of(named.begin(), named.end(), [&](auto n) { return iequals(n, l.name); }))
            continue;
        if (l.field == http::field::content_type)
            a.head.content_type = l.value;
        a.head.fields.append(l.name).append(": ").append(l.value).append("\r\n");
    }

    if (codings > 1 || (codings == 1 && !iequals(coding, "chunked")) ||
        (codings == 1 && (lengths != 0 || head.is_http_1_0())))
        return bad("its Transfer-Encoding is not understood");
    std::optional<std::uint64_t> size;
    if (lengths != 0) {
        size = parse_uint(length, std::uint64_t(1) << 60);
        if (!size || lengths > 1)
            return bad("its Content-Length is not understood");
    }
    a.head.no_body = to_head || a.head.status == 204 || a.head.status == 304 || a.interim;
    a.keep_alive = !close;
    if (a.head.no_body) {
        if (a.head.status != 204)  // which may tell none (RFC 9110 §8.6)
            a.head.length = size;  // a HEAD's answer tells the length it would have
    } else if (codings == 1) {
        a.body = body_decoder::chunked();
    } else if (size) {
        a.head.length = size;
        a.body = body_decoder::of_length(*size);
    } else {
        a.body = body_decoder::until_close();
        a.keep_alive = false;
    }
    return a;
}

boost::system::result<answer, fault> answer_parser::parse(std::string_view bytes, bool to_head)
{
    if (auto found = to_head ? std::nullopt : known_.at_front(bytes);
        found && found->size == bytes.size()) {
        auto a = last_;
        if (a.head.length) {
            a.head.length = parse_uint(found->length);
            a.body = body_decoder::of_length(*a.head.length);
        }
        return a;
    }
    auto parsed = parse_answer(bytes, to_head);
    known_.forget();
    if (parsed && !parsed->head.no_body) {
        known_.keep(bytes);
        last_ = *parsed;
    }
    return parsed;
}

}  // namespace gateway
