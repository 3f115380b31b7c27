// Any bytes as a request head: refused, or let in whole, unambiguous and safe to tell on; and as
// the next head on a connection: told as if it stood alone.
#include "downstream/cors.hpp"
#include "downstream/forwarding.hpp"
#include "downstream/head.hpp"
#include "downstream/incoming_head.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace gateway;

namespace {

void require(bool holds)
{
    if (!holds) {
        std::abort();
    }
}

bool is_text(std::string_view s)
{
    for (const char c : s) {
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

bool is_path(std::string_view s)
{
    return s.starts_with('/') && s.find("//") == s.npos && s.find("/./") == s.npos &&
           s.find("/../") == s.npos && !s.ends_with("/.") && !s.ends_with("/..") &&
           s.find('\0') == s.npos && s.find('\\') == s.npos;
}

// The head that would stand if these lines were sent on.
void check_forwarded(const request_head& head)
{
    const std::string lines = upstream_fields(head, {false, "gateway"});
    const auto again =
        parse_head("POST / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n", {1 << 20, 1000});
    require(again.has_value());
    for (const char* name : {"Transfer-Encoding", "Content-Length", "Connection", "Origin",
                             "Cookie", "Authorization", "X-Api-Key", "Expect"}) {
        require(!again->has(name));
    }
    require(came_back(*again, "gateway"));
}

// As the next one on a connection it is told as the parser alone tells it.
void check_next(incoming_head& on, std::string_view bytes)
{
    const auto size = on.look(bytes, {});
    const auto end = head_end(bytes, 0);
    const auto alone = parse_head(bytes.substr(0, end), {});
    require(on.whole() == (end != 0 && alone.has_value()));
    require(!on.whole() || (*size == end && on.get() == *alone));
    if (end == 0) {
        on = {};  // what comes next would belong to it
    }
}

// The same again; with a digit more in its first number after a colon; and what stands behind it.
void check_followed(std::string_view bytes, std::size_t end)
{
    incoming_head on;
    check_next(on, bytes);
    check_next(on, bytes);
    std::string longer(bytes.substr(0, end));
    const auto colon = longer.find(':');
    const auto digit = longer.find_first_of("0123456789", colon);
    for (const char more : {'0', '7', ' '}) {
        if (digit != longer.npos) {
            longer.insert(digit, 1, more);
        }
        check_next(on, longer);
        check_next(on, bytes);
    }
    if (end != 0) {
        check_next(on, bytes.substr(end));
    }
    check_next(on, bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto end = head_end(bytes, 0);
    require(end <= bytes.size());
    std::size_t found = 0;
    for (std::size_t n = 1; n <= bytes.size() && n <= 512 && found == 0; ++n) {
        found = head_end(bytes.substr(0, n), n - 1);
    }
    require(found == 0 ? end == 0 || end > 512 : found == end);

    check_followed(bytes, end);
    const auto whole = parse_head(bytes, {});
    require(!whole.has_value() || end == bytes.size());
    const auto head = parse_head(bytes.substr(0, end == 0 ? bytes.size() : end), {});
    if (!head) {
        require(!head.error().message.empty() && is_text(head.error().message));
        return 0;
    }
    require(is_path(head->path) && is_text(head->target) && is_text(head->query));
    require(!(head->chunked && head->content_length));
    require(!(head->chunked && head->http_1_0));
    require(head->http_1_0 || head->has("Host"));
    for (const field& f : head->fields) {
        require(!f.name.empty() && is_text(f.name) && is_text(f.value));
    }
    check_forwarded(*head);
    cors(*head, {"https://*.example"});
    host_allowed(head->get("Host"), {"*.example", "a"});
    return 0;
}
