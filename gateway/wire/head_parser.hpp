// Beast's parser for heads alone, which keeps nothing of them: whoever derives from it takes what
// he wants, as views of the head or, of a folded value, of the parser's memory for as long as the
// call.
#pragma once

#include <boost/beast/http/basic_parser.hpp>

#include <cstddef>
#include <cstdint>

namespace gateway {

template <bool is_request>
class head_parser : public boost::beast::http::basic_parser<is_request> {
protected:
    using text = boost::beast::string_view;
    using error = boost::beast::error_code;

    // Of a head of so many bytes.
    explicit head_parser(std::size_t size)
    {
        this->header_limit(static_cast<std::uint32_t>(size + 1));
        this->body_limit(boost::none);
        this->skip(true);
    }

    void on_request_impl(boost::beast::http::verb, text, text, int, error&) override {}
    void on_response_impl(int, text, int, error&) override {}
    void on_header_impl(error&) override {}
    void on_body_init_impl(boost::optional<std::uint64_t> const&, error&) override {}
    std::size_t on_body_impl(text body, error&) override { return body.size(); }
    void on_chunk_header_impl(std::uint64_t, text, error&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, text body, error&) override
    {
        return body.size();
    }
    void on_finish_impl(error&) override {}
};

}  // namespace gateway
