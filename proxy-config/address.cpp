// Reading and comparing of addresses.
#include "proxy-config/address.hpp"

#include "base/text.hpp"

#include <arpa/inet.h>
#include <algorithm>
#include <array>

namespace gateway {

namespace {

// sun_path holds 108 bytes with the zero at the end (unix(7)).
constexpr std::size_t longest_socket_path = 107;

// The address in its one canonical spelling; empty when `text` is none of that family.
std::string canonical_ip(int family, std::string_view text)
{
    std::array<unsigned char, 16> bytes{};
    std::array<char, INET6_ADDRSTRLEN> spelling{};
    const std::string terminated(text);
    if (text.find('\0') != std::string_view::npos ||
        inet_pton(family, terminated.c_str(), bytes.data()) != 1 ||
        inet_ntop(family, bytes.data(), spelling.data(), spelling.size()) == nullptr) {
        return {};
    }
    return spelling.data();
}

bool is_name(std::string_view s)
{
    const auto belongs = [](char c) {
        const char l = to_lower(c);
        return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    };
    // What looks like a dotted number but is no IPv4 address is a slip, not a name.
    return !s.empty() && s.size() <= 253 && s.front() != '.' && s.front() != '-' &&
           s.find("..") == std::string_view::npos && std::all_of(s.begin(), s.end(), belongs) &&
           s.find_first_not_of("0123456789.") != std::string_view::npos;
}

struct host_and_port {
    std::string host;
    std::optional<std::string_view> port;
};

// "host", "host:port", "[v6]", "[v6]:port"; the host may be empty. nullopt: `why` says what is
// wrong.
std::optional<host_and_port> split_authority(std::string_view s, std::string& why)
{
    host_and_port split;
    if (!s.empty() && s.front() == '[') {
        const auto close = s.find(']');
        split.host = close == std::string_view::npos
                         ? std::string()
                         : canonical_ip(AF_INET6, s.substr(1, close - 1));
        if (split.host.empty()) {
            why = "what stands in [ ] is not an IPv6 address";
            return std::nullopt;
        }
        s.remove_prefix(close + 1);
        if (!s.empty() && s.front() != ':') {
            why = "after [address] comes a colon and the port";
            return std::nullopt;
        }
    } else {
        const auto colon = s.find(':');
        if (colon != std::string_view::npos && s.find(':', colon + 1) != std::string_view::npos) {
            why = "an IPv6 address stands in brackets: \"[::1]:11435\"";
            return std::nullopt;
        }
        const std::string_view host = s.substr(0, colon);
        const std::string ip = canonical_ip(AF_INET, host);
        if (!host.empty() && ip.empty() && !is_name(host)) {
            why = "the host is neither a name nor an IP address";
            return std::nullopt;
        }
        split.host = ip.empty() ? to_lower(host) : ip;
        s = colon == std::string_view::npos ? std::string_view() : s.substr(colon);
    }
    if (!s.empty()) {
        split.port = s.substr(1);
    }
    return split;
}

// "/a/b": every part means itself.
bool is_plain_path(std::string_view path)
{
    const auto parts = split(path.substr(1), '/');
    return std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
        return !part.empty() && part != "." && part != ".." && percent_decode(part);
    });
}

bool every_interface(const listen_address& a)
{
    return !a.is_unix() && (a.host.empty() || a.host == "0.0.0.0" || a.host == "::");
}

bool is_ipv4(std::string_view host)
{
    return !canonical_ip(AF_INET, host).empty();
}

// localhost is either loopback address.
bool same_host(std::string_view a, std::string_view b)
{
    return a == b || (a == "localhost" && is_loopback(b)) || (b == "localhost" && is_loopback(a));
}

}  // namespace

std::optional<listen_address> parse_listen_address(std::string_view text, std::string& why)
{
    listen_address address;
    if (text.starts_with("unix:")) {
        address.path = text.substr(5);
        if (!address.path.starts_with('/') || address.path.size() > longest_socket_path ||
            address.path.find('\0') != std::string::npos) {
            why = "a unix socket is \"unix:/path\" with an absolute path of at most 107 bytes";
            return std::nullopt;
        }
        return address;
    }
    if (text.find("://") != std::string_view::npos) {
        why = "an address to listen on has no scheme: \"127.0.0.1:11435\"";
        return std::nullopt;
    }
    auto split = split_authority(text, why);
    if (!split) {
        return std::nullopt;
    }
    const auto port = split->port ? parse_uint(*split->port, 65535) : std::nullopt;
    if (!port) {
        why =
            "must end in a port: \"127.0.0.1:11435\", \"[::1]:11435\", \":11435\", or be "
            "\"unix:/path\"";
        return std::nullopt;
    }
    const bool ip = split->host.find(':') != std::string::npos || is_ipv4(split->host);
    if (!split->host.empty() && split->host != "localhost" && !ip) {
        why = "the host to listen on is an IP address or localhost; every interface is \":" +
              std::to_string(*port) + "\"";
        return std::nullopt;
    }
    address.host = std::move(split->host);
    address.port = static_cast<std::uint16_t>(*port);
    return address;
}

std::optional<upstream_address> parse_upstream_address(std::string_view text, std::string& why)
{
    upstream_address url;
    std::string_view rest = text;
    if (istarts_with(text, "http://")) {
        rest.remove_prefix(7);
    } else if (istarts_with(text, "https://")) {
        rest.remove_prefix(8);
        url.tls = true;
        url.port = 443;
    } else {
        why = "must begin with http:// or https://: \"http://127.0.0.1:11434\"";
        return std::nullopt;
    }
    const auto visible = [](char c) { return c > 0x20 && c < 0x7F; };
    const auto slash = std::min(rest.find('/'), rest.size());
    if (!std::all_of(rest.begin(), rest.end(), visible) ||
        rest.find_first_of("?#\\\"<>^`{|}") != std::string_view::npos) {
        why = "has a query, a fragment or a character that cannot stand in a URL";
        return std::nullopt;
    }
    if (rest.substr(0, slash).find('@') != std::string_view::npos) {
        why = "must not hold a user or a password";
        return std::nullopt;
    }
    auto split = split_authority(rest.substr(0, slash), why);
    if (!split) {
        return std::nullopt;
    }
    if (split->host.empty()) {
        why = "has no host: \"http://127.0.0.1:11434\"";
        return std::nullopt;
    }
    if (split->port) {
        const auto port = parse_uint(*split->port, 65535);
        if (!port || *port == 0) {
            why = "the port is a number from 1 to 65535";
            return std::nullopt;
        }
        url.port = static_cast<std::uint16_t>(*port);
    }
    url.host = std::move(split->host);
    std::string_view prefix = rest.substr(slash);
    while (prefix.ends_with('/')) {
        prefix.remove_suffix(1);
    }
    if (!prefix.empty() && !is_plain_path(prefix)) {
        why = "the path prefix has an empty, \".\" or \"..\" part, or a bad % escape";
        return std::nullopt;
    }
    url.prefix = prefix;
    return url;
}

bool is_network(std::string_view text)
{
    const auto slash = text.find('/');
    const std::string_view address = text.substr(0, slash);
    const bool v4 = is_ipv4(address);
    if (!v4 && canonical_ip(AF_INET6, address).empty()) {
        return false;
    }
    return slash == std::string_view::npos || parse_uint(text.substr(slash + 1), v4 ? 32 : 128);
}

bool is_host_name(std::string_view text)
{
    return is_name(text) || is_ipv4(text) || !canonical_ip(AF_INET6, text).empty();
}

bool is_loopback(std::string_view host)
{
    return host == "localhost" || host == "::1" || (host.starts_with("127.") && is_ipv4(host));
}

bool collide(const listen_address& a, const listen_address& b)
{
    if (a.is_unix() || b.is_unix()) {
        return a == b;
    }
    if (a.port != b.port || a.port == 0) {
        return false;
    }
    if (a.host.empty() || b.host.empty()) {
        return true;
    }
    const bool both_v4 =
        a.host.find(':') == std::string::npos && b.host.find(':') == std::string::npos;
    const bool both_v6 =
        a.host.find(':') != std::string::npos && b.host.find(':') != std::string::npos;
    return same_host(a.host, b.host) ||
           ((both_v4 || both_v6) && (every_interface(a) || every_interface(b)));
}

bool leads_to(const upstream_address& url, const listen_address& to)
{
    return !to.is_unix() && to.port != 0 && url.port == to.port &&
           (same_host(url.host, to.host) ||
            (every_interface(to) &&
             (is_loopback(url.host) || url.host == "0.0.0.0" || url.host == "::")));
}

}  // namespace gateway
