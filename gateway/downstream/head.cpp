// The head gate. Beast's basic_parser reads the grammar, into our own fields and never into its
// header map (which throws on long values and merges trailers); the rules it lacks are checked
// here. Numbers like D7 are the rows of the table of what Beast 1.81 lets through.
#include "downstream/head.hpp"

#include "base/text.hpp"
#include "downstream/head_rules.hpp"
#include "wire/head_parser.hpp"

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>

namespace gateway {

namespace {

namespace http = boost::beast::http;
using beast_error = boost::beast::error_code;
using beast_view = boost::beast::string_view;

fault bad(fault_code code, std::string message)
{
    return fault{code, std::move(message), whose::client, retry::no, 0};
}

class head_reader final : public head_parser<true> {
public:
    head_reader(request_head& into, std::size_t size) : head_parser(size), head_(into) {}

    int version() const { return version_; }

private:
    void on_request_impl(http::verb, beast_view method, beast_view target, int version,
                         beast_error&) override
    {
        head_.method.assign(method.data(), method.size());
        head_.target.assign(target.data(), target.size());
        version_ = version;
    }

    void on_field_impl(http::field, beast_view name, beast_view value, beast_error&) override
    {
        head_.fields.emplace_back(std::string_view(name.data(), name.size()),
                                  std::string_view(value.data(), value.size()));
    }

    request_head& head_;
    int version_ = 0;
};

constexpr std::uint64_t in_each_byte(std::uint8_t b)
{
    return 0x0101010101010101ull * b;
}

// No control characters but tabs. Every byte of every head passes here: eight at a time.
bool is_text(std::string_view line)
{
    const auto is_text_byte = [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return (byte >= 0x20 || byte == '\t') && byte != 0x7f;
    };
    if (line.size() < 8) {
        return std::all_of(line.begin(), line.end(), is_text_byte);
    }
    const auto are_text = [&](const char* eight) {
        std::uint64_t bytes = 0;
        std::memcpy(&bytes, eight, 8);
        // The high bit of each byte tells.
        const std::uint64_t low = bytes & in_each_byte(0x7f);
        const std::uint64_t from_space = low + in_each_byte(0x80 - 0x20);
        const std::uint64_t is_delete = low + in_each_byte(0x80 - 0x7f);
        return ((~from_space | is_delete) & ~bytes & in_each_byte(0x80)) == 0 ||
               std::all_of(eight, eight + 8, is_text_byte);
    };
    const char* const last = line.data() + line.size() - 8;  // some of which may be seen twice
    for (const char* at = line.data(); at < last; at += 8) {
        if (!are_text(at)) {
            return false;
        }
    }
    return are_text(last);
}

// The lines of the head on the wire: D9 (a line that continues another), D14 (how many), D20 (bare
// CR or LF, control characters, something after the empty line). Says how many fields there are.
boost::system::result<std::size_t, fault> check_lines(std::string_view bytes, const head_limits& l)
{
    if (bytes.size() > l.bytes) {
        return bad(fault_code::head_too_large,
                   "the head is over " + std::to_string(l.bytes) + " bytes (limits.header_bytes)");
    }
    std::size_t lines = 0;
    for (std::string_view rest = bytes;; ++lines) {
        const auto lf = rest.find('\n');
        if (lf == std::string_view::npos) {
            return bad(fault_code::bad_request, "an incomplete head");
        }
        if (lf == 0 || rest[lf - 1] != '\r' || !is_text(rest.substr(0, lf - 1))) {
            return bad(fault_code::bad_request, "a control character in the head");
        }
        if (rest[0] == ' ' || rest[0] == '\t') {
            return bad(fault_code::bad_request, "a folded or indented header line");
        }
        rest.remove_prefix(lf + 1);
        if (lf > 1) {
            continue;
        }
        if (!rest.empty() || lines == 0) {
            return bad(fault_code::bad_request, "an empty line inside the head");
        }
        break;
    }
    const std::size_t fields = lines - 1;
    if (fields > l.fields) {
        return bad(fault_code::head_too_large, "more than " + std::to_string(l.fields) +
                                                   " header fields (limits.header_fields)");
    }
    return fields;
}

// D1 to D5, D7, D17: exactly one way to say how long the body is.
const char* read_framing(request_head& head)
{
    const std::string* length = nullptr;
    const std::string* coding = nullptr;
    for (const field& f : head.fields) {
        if (f.is == field_name::content_length) {
            if (std::exchange(length, &f.value) != nullptr) {
                return "Content-Length stands twice";
            }
        } else if (f.is == field_name::transfer_encoding) {
            if (std::exchange(coding, &f.value) != nullptr) {
                return "Transfer-Encoding stands twice";
            }
        }
    }
    if (coding != nullptr) {
        if (!iequals(*coding, "chunked")) {
            return "the only Transfer-Encoding understood is chunked";
        }
        if (head.http_1_0) {
            return "Transfer-Encoding in HTTP/1.0";
        }
        if (length != nullptr) {
            return "both Transfer-Encoding and Content-Length";
        }
        head.chunked = true;
    }
    if (length != nullptr) {
        head.content_length = parse_uint(*length);
        if (!head.content_length) {
            return "Content-Length is not a number";
        }
    }
    const bool body = head.chunked || head.content_length.value_or(0) > 0;
    if (body && (head.method == "GET" || head.method == "HEAD")) {
        return "a GET or HEAD with a body";
    }
    return nullptr;
}

// D17, D18.
const char* read_expectation(request_head& head)
{
    for (const field& f : head.fields) {
        if (f.is != field_name::expect) {
            continue;
        }
        if (!iequals(f.value, "100-continue")) {
            return "the only Expect understood is 100-continue";
        }
        const bool body = head.chunked || head.content_length.value_or(0) > 0;
        head.expects_continue = body && !head.http_1_0;
    }
    return nullptr;
}

void read_persistence(request_head& head)
{
    bool close = false;
    bool keep = !head.http_1_0;
    for (const field& f : head.fields) {
        if (f.is != field_name::connection) {
            continue;
        }
        for (const std::string_view option : split(f.value, ',')) {
            close = close || iequals(option, "close");
            keep = keep || iequals(option, "keep-alive");
        }
    }
    head.keep_alive = keep && !close;
}

// D8.
const char* check_host(const request_head& head)
{
    std::size_t hosts = 0;
    for (const field& f : head.fields) {
        if (f.is != field_name::host) {
            continue;
        }
        ++hosts;
        if (!is_host(f.value)) {
            return "an invalid Host";
        }
    }
    if (hosts > 1) {
        return "Host stands twice";
    }
    return hosts == 0 && !head.http_1_0 ? "no Host" : nullptr;
}

std::optional<fault> read_head(request_head& head, std::string_view bytes, const head_limits& l)
{
    const auto fields = check_lines(bytes, l);
    if (!fields) {
        return fields.error();
    }
    head.fields.reserve(*fields);
    head_reader reader(head, bytes.size());
    beast_error error;
    try {
        const auto used = reader.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
        if (!error && (used != bytes.size() || !reader.is_header_done())) {
            error = http::error::bad_value;
        }
    } catch (const std::exception&) {
        error = http::error::bad_value;
    }
    if (error) {
        return bad(fault_code::bad_request, "bad HTTP: " + error.message());
    }
    if (!is_known_method(head.method)) {
        return bad(fault_code::bad_method, "no such method here");
    }
    if (reader.version() != 10 && reader.version() != 11) {
        return bad(fault_code::bad_request, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
    head.http_1_0 = reader.version() == 10;
    const char* wrong = read_target(head);
    if (wrong == nullptr) {
        wrong = check_host(head);
    }
    if (wrong == nullptr) {
        wrong = read_framing(head);
    }
    if (wrong == nullptr) {
        wrong = read_expectation(head);
    }
    if (wrong != nullptr) {
        return bad(fault_code::bad_request, wrong);
    }
    read_persistence(head);
    return std::nullopt;
}

}  // namespace

boost::system::result<request_head, fault> parse_head(std::string_view bytes, const head_limits& l)
{
    boost::system::result<request_head, fault> read = request_head();
    if (auto wrong = read_head(*read, bytes, l)) {
        read = std::move(*wrong);
    }
    return read;
}

}  // namespace gateway
