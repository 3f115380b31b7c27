#include "bench/sim/http.hpp"

#include <algorithm>
#include <charconv>

#include "bench/sim/text.hpp"

namespace sim {

namespace {

bool same_name(std::string_view a, std::string_view b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        auto low = [](char c) {
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        };
        return low(x) == low(y);
    });
}

bool token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

constexpr std::size_t max_line = 4096;  // of a chunk size or a trailer

}  // namespace

std::string_view request_head::field(std::string_view name) const
{
    for (auto& [key, value] : fields)
        if (same_name(key, name))
            return value;
    return {};
}

bool request_head::keep_alive() const
{
    auto connection = lowered(field("Connection"));
    if (connection.find("close") != std::string::npos)
        return false;
    return minor == 1 || connection.find("keep-alive") != std::string::npos;
}

std::optional<std::string> percent_decoded(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        unsigned value = 0;
        auto digits = text.substr(i + 1, 2);
        auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (digits.size() != 2 || read.ptr != digits.data() + 2)
            return std::nullopt;
        out += static_cast<char>(value);
        i += 2;
    }
    return out;
}

std::optional<request_head> parse_request_head(std::string_view head)
{
    request_head out;
    auto line_end = head.find('\n');
    if (line_end == std::string_view::npos)
        return std::nullopt;
    auto line = head.substr(0, line_end);
    if (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
    auto first = line.find(' ');
    auto last = line.rfind(' ');
    if (first == std::string_view::npos || first == last || first == 0)
        return std::nullopt;
    out.method = line.substr(0, first);
    out.target = line.substr(first + 1, last - first - 1);
    auto version = line.substr(last + 1);
    if (version != "HTTP/1.1" && version != "HTTP/1.0")
        return std::nullopt;
    out.minor = version.back() - '0';
    if (!std::all_of(out.method.begin(), out.method.end(), token_char))
        return std::nullopt;

    std::string_view target = out.target;
    if (target.starts_with("http://") || target.starts_with("https://")) {
        auto slash = target.find('/', target.find("//") + 2);
        target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    }
    auto question = target.find('?');
    auto path = percent_decoded(target.substr(0, question));
    if (!path || target.empty() || (target[0] != '/' && target != "*"))
        return std::nullopt;
    out.path = std::move(*path);
    if (question != std::string_view::npos)
        out.query = target.substr(question + 1);

    head.remove_prefix(line_end + 1);
    while (!head.empty()) {
        line_end = head.find('\n');
        if (line_end == std::string_view::npos)
            return std::nullopt;
        line = head.substr(0, line_end);
        head.remove_prefix(line_end + 1);
        if (!line.empty() && line.back() == '\r')
            line.remove_suffix(1);
        if (line.empty())
            return out;
        auto colon = line.find(':');
        if (colon == std::string_view::npos || colon == 0 ||
            !std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(colon),
                         token_char))
            return std::nullopt;
        out.fields.emplace_back(line.substr(0, colon), trimmed(line.substr(colon + 1)));
    }
    return std::nullopt;
}

bool body_decoder::start(const request_head& head)
{
    *this = body_decoder();
    auto coding = head.field("Transfer-Encoding");
    auto length = head.field("Content-Length");
    if (!coding.empty()) {
        chunked_ = true;
        state_ = state::size_line;
        return same_name(coding, "chunked") && length.empty();
    }
    if (length.empty())
        return true;
    auto read = std::from_chars(length.data(), length.data() + length.size(), left_);
    if (read.ec != std::errc() || read.ptr != length.data() + length.size())
        return false;
    if (left_ > 0)
        state_ = state::length;
    return true;
}

bool body_decoder::take_line(std::string& in, std::size_t& at, std::string& line)
{
    auto end = in.find('\n', at);
    line_.append(in, at, end == std::string::npos ? std::string::npos : end - at);
    if (line_.size() > max_line) {
        state_ = state::bad;
        return false;
    }
    at = end == std::string::npos ? in.size() : end + 1;
    if (end == std::string::npos)
        return false;
    line = std::move(line_);
    line_.clear();
    if (!line.empty() && line.back() == '\r')
        line.pop_back();
    return true;
}

void body_decoder::take(std::string& in, std::string& out, std::size_t most)
{
    std::size_t at = 0;
    std::string line;
    bool more = true;
    while (more && at < in.size() && state_ != state::done && state_ != state::bad) {
        switch (state_) {
            case state::length:
            case state::data: {
                auto n = static_cast<std::size_t>(
                    std::min<std::uint64_t>({left_, in.size() - at, most}));
                out.append(in, at, n);
                at += n;
                left_ -= n;
                most -= n;
                if (left_ == 0)
                    state_ = state_ == state::length ? state::done : state::data_end;
                more = most > 0 || left_ == 0;
                break;
            }
            case state::size_line:
                if (take_line(in, at, line)) {
                    auto read = std::from_chars(line.data(), line.data() + line.size(), left_, 16);
                    auto rest = std::string_view(line).substr(
                        static_cast<std::size_t>(read.ptr - line.data()));
                    if (read.ec != std::errc() || !(trimmed(rest).empty() || rest[0] == ';'))
                        state_ = state::bad;
                    else
                        state_ = left_ == 0 ? state::trailer : state::data;
                }
                break;
            case state::data_end:
                if (take_line(in, at, line))
                    state_ = line.empty() ? state::size_line : state::bad;
                break;
            case state::trailer:
                if (take_line(in, at, line) && line.empty())
                    state_ = state::done;
                break;
            case state::done:
            case state::bad: break;
        }
    }
    in.erase(0, at);
}

std::string_view reason_phrase(int status)
{
    switch (status) {
        case 100: return "Continue";
        case 200: return "OK";
        case 201: return "Created";
        case 204: return "No Content";
        case 301: return "Moved Permanently";
        case 307: return "Temporary Redirect";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 413: return "Request Entity Too Large";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 499: return "status code 499";  // net/http's words for a code it does not know
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 502: return "Bad Gateway";
        case 503: return "Service Unavailable";
        case 504: return "Gateway Timeout";
        default: return "status code";
    }
}

}  // namespace sim
