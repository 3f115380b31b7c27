// The words of a head (head_rules.hpp), and what can be asked of one that was read (head.hpp).
#include "downstream/head_rules.hpp"

#include "base/text.hpp"
#include "downstream/identity.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace gateway {

namespace {

// Where a byte may stand as it is (RFC 3986 §2 and §3).
enum place : std::uint8_t { unreserved = 1, in_path = 2, in_query = 4 };

constexpr std::array<std::uint8_t, 256> places = [] {
    std::array<std::uint8_t, 256> of{};
    const auto mark = [&](std::string_view bytes, std::uint8_t where) {
        for (const char c : bytes) {
            of[static_cast<unsigned char>(c)] |= where;
        }
    };
    mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~",
         unreserved | in_path | in_query);
    mark("!$&'()*+,;=:@/", in_path | in_query);
    mark("?[]", in_query);
    return of;
}();

constexpr bool may_stand(char c, place where)
{
    return (places[static_cast<unsigned char>(c)] & where) != 0;
}

// The octet that %XX at `at` stands for; -1 when it is none.
int escaped_octet(std::string_view s, std::size_t at)
{
    const auto one = percent_decode(s.substr(at, 3));
    return one && one->size() == 1 ? static_cast<unsigned char>(one->front()) : -1;
}

// Is the segment that `rest` begins with empty, with others behind it, or one of "." and ".."?
bool is_odd_segment(std::string_view rest)
{
    if (!rest.starts_with('.')) {
        return rest.starts_with('/');
    }
    const auto segment = rest.substr(0, rest.find('/'));
    return segment == "." || segment == "..";
}

const char* check_path(std::string_view path)
{
    bool odd = false;
    for (std::size_t i = 0; i < path.size(); ++i) {
        if (path[i] == '/') {
            odd = odd || is_odd_segment(path.substr(i + 1));
        } else if (path[i] == '%') {
            const int octet = escaped_octet(path, i);
            if (octet < 0x20 || octet == 0x7f) {
                return "a bad escape in the path";
            }
            if (may_stand(static_cast<char>(octet), unreserved) || octet == '/' || octet == '\\') {
                return "an escape in the path that hides what it is";
            }
            i += 2;
        } else if (!may_stand(path[i], in_path)) {
            return "a character in the path that must be escaped";
        }
    }
    return odd ? "a path with empty or dot segments" : nullptr;
}

const char* check_query(std::string_view query)
{
    for (std::size_t i = 0; i < query.size(); ++i) {
        if (query[i] == '%') {
            if (escaped_octet(query, i) <= 0) {
                return "a bad escape in the query";
            }
            i += 2;
        } else if (!may_stand(query[i], in_query)) {
            return "a character in the query that must be escaped";
        }
    }
    return nullptr;
}

bool is_ip_v6(std::string_view s)
{
    const std::string text(s);
    in6_addr address{};
    return s.size() < INET6_ADDRSTRLEN && inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

// Loopback, private or unspecified, as net/netip has them (allowedHostsMiddleware, routes.go:1820).
bool is_local_address(std::string_view s)
{
    std::array<std::uint8_t, 16> a{};
    if (!parse_address(s, a)) {
        return false;
    }
    constexpr std::array<std::uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (!std::equal(mapped.begin(), mapped.end(), a.begin())) {
        const bool zeros = std::all_of(a.begin(), a.end() - 1, [](auto b) { return b == 0; });
        return (zeros && a[15] <= 1) || (a[0] & 0xfe) == 0xfc;
    }
    return a[12] == 127 || a[12] == 10 || (a[12] == 172 && (a[13] & 0xf0) == 16) ||
           (a[12] == 192 && a[13] == 168) || (a[12] | a[13] | a[14] | a[15]) == 0;
}

// `http://localhost:*`: one star stands for any text.
bool matches(std::string_view pattern, std::string_view text)
{
    const auto star = pattern.find('*');
    if (star == std::string_view::npos) {
        return iequals(pattern, text);
    }
    const auto front = pattern.substr(0, star);
    const auto back = pattern.substr(star + 1);
    return text.size() >= front.size() + back.size() && istarts_with(text, front) &&
           iequals(text.substr(text.size() - back.size()), back);
}

}  // namespace

std::string_view request_head::get(field_name name) const
{
    for (const field& f : fields) {
        if (f.is == name) {
            return f.value;
        }
    }
    return {};
}

bool request_head::has(field_name name) const
{
    return std::any_of(fields.begin(), fields.end(), [&](const field& f) { return f.is == name; });
}

std::string_view request_head::get(std::string_view name) const
{
    for (const field& f : fields) {
        if (iequals(f.name, name)) {
            return f.value;
        }
    }
    return {};
}

bool request_head::has(std::string_view name) const
{
    return std::any_of(fields.begin(), fields.end(),
                       [&](const field& f) { return iequals(f.name, name); });
}

std::size_t head_end(std::string_view buffer, std::size_t from)
{
    // An empty line ends a head even where a bare LF ends the lines: such a head is refused at once
    // instead of being waited for.
    std::size_t at = from > 2 ? from - 2 : 0;
    while ((at = buffer.find('\n', at)) != std::string_view::npos) {
        ++at;
        if (at < buffer.size() && buffer[at] == '\n') {
            return at + 1;
        }
        if (at + 1 < buffer.size() && buffer[at] == '\r' && buffer[at + 1] == '\n') {
            return at + 2;
        }
    }
    return 0;
}

bool is_known_method(std::string_view method)
{
    constexpr std::array<std::string_view, 7> known = {"GET",   "HEAD",   "POST",   "PUT",
                                                       "PATCH", "DELETE", "OPTIONS"};
    return std::find(known.begin(), known.end(), method) != known.end();
}

const char* read_target(request_head& head)
{
    const std::string_view target = head.target;
    if (!target.starts_with('/')) {
        return "a target that is not a path";
    }
    const auto question = std::min(target.find('?'), target.size());
    const auto path = target.substr(0, question);
    const auto query = target.substr(std::min(question + 1, target.size()));
    if (const char* wrong = check_path(path); wrong != nullptr) {
        return wrong;
    }
    if (const char* wrong = check_query(query); wrong != nullptr) {
        return wrong;
    }
    head.path = path;
    if (path.find('%') != std::string_view::npos) {
        head.path = percent_decode(path).value_or(std::string());
    }
    head.query = query;
    return nullptr;
}

bool is_host(std::string_view value)
{
    if (value.empty()) {
        return true;
    }
    if (value.size() > 255) {
        return false;
    }
    const bool bracketed = value.starts_with('[');
    if (bracketed && value.find(']') == std::string_view::npos) {
        return false;
    }
    const auto name = without_port(value);
    const auto port = value.substr(name.size() + (bracketed ? 2 : 0));
    if (!port.empty() &&
        (port.front() != ':' || (port.size() > 1 && !parse_uint(port.substr(1), 65535)))) {
        return false;
    }
    if (bracketed) {
        return is_ip_v6(name);
    }
    return !name.empty() &&
           std::all_of(name.begin(), name.end(), [](char c) { return may_stand(c, unreserved); });
}

std::string_view without_port(std::string_view host)
{
    if (host.starts_with('[')) {
        const auto close = host.find(']');
        // Without its bracket it is no address, and no host at all.
        return close == std::string_view::npos ? std::string_view() : host.substr(1, close - 1);
    }
    return host.substr(0, host.find(':'));
}

bool host_allowed(std::string_view host, const std::vector<std::string>& hosts)
{
    if (!is_host(host)) {
        return false;
    }
    auto name = without_port(host);
    if (name.ends_with('.')) {
        name.remove_suffix(1);
    }
    if (host.empty() || iequals(name, "localhost") || is_local_address(name)) {
        return true;
    }
    const auto ends_with = [&](std::string_view suffix) {
        return name.size() > suffix.size() &&
               iequals(name.substr(name.size() - suffix.size()), suffix);
    };
    if (ends_with(".localhost") || ends_with(".local") || ends_with(".internal")) {
        return true;
    }
    return std::any_of(hosts.begin(), hosts.end(), [&](std::string_view h) {
        return h.starts_with("*.") ? ends_with(h.substr(1)) : iequals(name, without_port(h));
    });
}

bool origin_allowed(std::string_view origin, std::string_view host,
                    const std::vector<std::string>& origins)
{
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (!istarts_with(origin, scheme)) {
            continue;
        }
        const auto authority = origin.substr(scheme.size());
        if (!host.empty() && iequals(authority, host)) {
            return true;
        }
        for (const std::string_view local : {"localhost", "127.0.0.1", "0.0.0.0"}) {
            if (is_host(authority) && iequals(without_port(authority), local)) {
                return true;
            }
        }
    }
    // envconfig/config.go:100
    for (const std::string_view application :
         {"app://", "file://", "tauri://", "vscode-webview://", "vscode-file://"}) {
        if (istarts_with(origin, application)) {
            return true;
        }
    }
    return std::any_of(origins.begin(), origins.end(),
                       [&](std::string_view pattern) { return matches(pattern, origin); });
}

}  // namespace gateway
