#include "upstream/answer.hpp"

#include "base/text.hpp"

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include <algorithm>
#include <array>

namespace gateway {
namespace {

namespace http = boost::beast::http;

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
        default:
            return iequals(name, "x-request-id") || iequals(name, "server-timing") ||
                   istarts_with(name, "x-gateway-") || istarts_with(name, "access-control-");
    }
}

}  // namespace

boost::system::result<answer, fault> parse_answer(std::string_view bytes, bool to_head)
{
    http::response_parser<http::empty_body> parser;
    parser.header_limit(std::uint32_t(bytes.size() + 1));
    parser.skip(true);
    error_code ec;
    parser.put(boost::asio::buffer(bytes), ec);
    if (ec || !parser.is_header_done())
        return bad(ec ? ec.message() : "no head");

    const auto& m = parser.get();
    answer a;
    a.head.status = int(m.result_int());
    a.head.reason = m.reason();
    if (a.head.status < 100 || a.head.status > 599)
        return bad("status " + std::to_string(a.head.status));
    a.interim = a.head.status < 200;
    if (a.head.status == 101)
        return bad("it switches protocols unasked");

    // What `Connection` names concerns only that connection too.
    std::vector<std::string_view> named;
    bool close = m.version() < 11;
    std::string_view coding, length;
    unsigned codings = 0, lengths = 0;
    for (const auto& f : m) {
        std::string_view value(f.value().data(), f.value().size());
        if (f.name() == http::field::connection) {
            for (auto token : split(value, ',')) {
                if (iequals(token, "close"))
                    close = true;
                else if (iequals(token, "keep-alive") && m.version() < 11)
                    close = false;
                named.push_back(token);
            }
        } else if (f.name() == http::field::transfer_encoding) {
            ++codings;
            coding = value;
        } else if (f.name() == http::field::content_length) {
            ++lengths;
            length = value;
        }
    }
    a.head.fields.reserve(bytes.size());
    for (const auto& f : m) {
        std::string_view name(f.name_string().data(), f.name_string().size());
        std::string_view value(f.value().data(), f.value().size());
        if (is_ours(f.name(), name) ||
            std::any_of(named.begin(), named.end(), [&](auto n) { return iequals(n, name); }))
            continue;
        if (f.name() == http::field::content_type)
            a.head.content_type = value;
        a.head.fields.append(name).append(": ").append(value).append("\r\n");
    }

    if (codings > 1 || (codings == 1 && !iequals(trim(coding), "chunked")) ||
        (codings == 1 && (lengths != 0 || m.version() < 11)))
        return bad("its Transfer-Encoding is not understood");
    std::optional<std::uint64_t> size;
    if (lengths != 0) {
        size = parse_uint(trim(length), std::uint64_t(1) << 60);
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

}  // namespace gateway
