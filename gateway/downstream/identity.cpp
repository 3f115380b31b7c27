// Addresses are compared as 16 bytes, so that 127.0.0.1 and ::ffff:127.0.0.1 are one, and told in
// their shortest form, so that one client is not many.
#include "downstream/identity.hpp"

#include "base/text.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>

namespace gateway {

namespace {

using address_bytes = std::array<std::uint8_t, 16>;

constexpr std::size_t longest_value = 256;
constexpr std::size_t longest_address = 64;  // with a zone

constexpr address_bytes mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_ipv4(const address_bytes& a)
{
    return std::equal(a.begin(), a.begin() + 12, mapped_prefix.begin());
}

std::string to_text(const address_bytes& a)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (is_ipv4(a))
        inet_ntop(AF_INET, a.data() + 12, text, sizeof text);
    else
        inet_ntop(AF_INET6, a.data(), text, sizeof text);
    return text;
}

// inet_pton's IPv4, of which every call's peer is one: four octets in decimal, no zero in front.
bool parse_ipv4(std::string_view text, std::uint8_t* out)
{
    const char* at = text.data();
    const char* const end = at + text.size();
    for (int octet = 0; octet < 4; ++octet) {
        if (octet != 0 && (at == end || *at++ != '.'))
            return false;
        const char* const first = at;
        unsigned value = 0;
        for (; at != end && *at >= '0' && *at <= '9' && value < 256; ++at)
            value = value * 10 + static_cast<unsigned>(*at - '0');
        if (at == first || value > 255 || (*first == '0' && at - first > 1))
            return false;
        out[octet] = static_cast<std::uint8_t>(value);
    }
    return at == end;
}

bool is_usable(std::string_view value)
{
    return !value.empty() && value.size() <= longest_value &&
           std::none_of(value.begin(), value.end(),
                        [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// The one value that a header has, if it has one and can be used; `is` tells its fields.
template <class Is>
std::optional<std::string_view> only_value(const request_head& head, Is is)
{
    std::optional<std::string_view> found;
    for (const auto& f : head.fields) {
        if (!is(f))
            continue;
        if (found && *found != f.value)
            return std::nullopt;
        found = f.value;
    }
    if (found && !is_usable(*found))
        return std::nullopt;
    return found;
}

// An element of X-Forwarded-For: "192.0.2.7", "192.0.2.7:4711", "2001:db8::1",
// "[2001:db8::1]:4711".
bool parse_hop(std::string_view text, address_bytes& out)
{
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == text.npos)
            return false;
        const auto rest = text.substr(end + 1);
        const bool port = rest.starts_with(':') && parse_uint(rest.substr(1), 65535);
        return (rest.empty() || port) && parse_address(text.substr(1, end - 1), out);
    }
    const auto colon = text.find(':');
    if (colon != text.npos && colon == text.rfind(':')) {
        if (!parse_uint(text.substr(colon + 1), 65535))
            return false;
        text = text.substr(0, colon);
    }
    return parse_address(text, out);
}

bool any_contains(const std::vector<network>& networks, const address_bytes& a)
{
    return std::any_of(networks.begin(), networks.end(),
                       [&](const network& n) { return n.contains(a); });
}

// The first address from the right that is not a trusted proxy's own.
std::optional<std::string> forwarded_for(const request_head& head,
                                         const std::vector<network>& trusted)
{
    std::optional<std::string> client;
    for (auto f = head.fields.rbegin(); f != head.fields.rend(); ++f) {
        if (f->is != field_name::x_forwarded_for)
            continue;
        const auto hops = split(f->value, ',');
        for (auto hop = hops.rbegin(); hop != hops.rend(); ++hop) {
            address_bytes a{};
            if (!parse_hop(*hop, a))
                return client;
            client = to_text(a);
            if (!any_contains(trusted, a))
                return client;
        }
    }
    return client;
}

bool is_tunnelled(const request_head& head)
{
    return std::any_of(head.fields.begin(), head.fields.end(), [](const field& f) {
        return f.is == field_name::cf_ray || f.is == field_name::forwarded ||
               f.is == field_name::x_forwarded_for || f.is == field_name::any_x_forwarded;
    });
}

bool is_loopback(const address_bytes& a)
{
    constexpr address_bytes one{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return is_ipv4(a) ? a[12] == 127 : a == one;
}

}  // namespace

bool network::contains(const address_bytes& a) const
{
    const auto whole = std::min<std::size_t>(bits / 8, a.size());
    if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), address.begin()))
        return false;
    if (whole == a.size() || bits % 8 == 0)
        return true;
    const auto mask = static_cast<std::uint8_t>(0xff << (8 - bits % 8));
    return ((a[whole] ^ address[whole]) & mask) == 0;
}

bool parse_address(std::string_view text, address_bytes& out)
{
    if (text.size() > longest_address)
        return false;
    address_bytes a = mapped_prefix;
    if (!parse_ipv4(text, a.data() + 12)) {
        const auto plain = std::string(text.substr(0, text.find('%')));  // only IPv6 has zones
        if (plain.find('\0') != plain.npos || inet_pton(AF_INET6, plain.c_str(), a.data()) != 1)
            return false;
    }
    out = a;
    return true;
}

bool parse_network(std::string_view text, network& out)
{
    network n;
    const auto slash = text.find('/');
    const auto address = text.substr(0, slash);
    if (!parse_address(address, n.address))
        return false;
    if (slash != text.npos) {
        const bool ipv4 = address.find(':') == address.npos;
        const auto bits = parse_uint(text.substr(slash + 1), ipv4 ? 32 : 128);
        if (!bits)
            return false;
        n.bits = static_cast<unsigned>(*bits) + (ipv4 ? 96 : 0);
    }
    out = n;
    return true;
}

identity identify(const request_head& head, const peer& p, const std::vector<network>& trusted,
                  const std::vector<std::string>& identity_headers)
{
    identity who;
    who.tunnelled = is_tunnelled(head);
    address_bytes from{};
    if (p.unix_socket) {
        who.client = "unix";
        who.trusted_peer = true;
        who.loopback = true;
        who.unix_socket = true;
    } else {
        who.address = p.address;
        if (parse_address(p.address, from)) {
            // A dotted one has but one form.
            if (p.address.find(':') != std::string::npos)
                who.address = to_text(from);
            who.trusted_peer = any_contains(trusted, from);
            who.loopback = is_loopback(from);
        }
        who.client = who.address;
    }
    if (!who.trusted_peer)
        return who;

    // From here on what is overwritten last holds.
    if (const auto forwarded = forwarded_for(head, trusted))
        who.client = who.address = *forwarded;
    const auto is_cloudflare_s = [](const field& f) {
        return f.is == field_name::cf_connecting_ip;
    };
    if (const auto value = only_value(head, is_cloudflare_s)) {
        address_bytes a{};
        if (parse_address(*value, a)) {
            who.client = to_text(a);
            if (!head.has(field_name::x_forwarded_for))
                who.address = who.client;
        }
    }
    for (const auto& name : identity_headers) {
        const auto is_it = [&](const field& f) { return iequals(f.name, name); };
        if (const auto value = only_value(head, is_it)) {
            who.client = std::string(*value);
            break;
        }
    }
    return who;
}

bool may_manage(std::string_view policy, const identity& who, bool hosts_empty,
                const std::vector<network>& admins)
{
    if (policy != "local")
        return policy == "allow";
    if (who.loopback && !who.tunnelled && hosts_empty)
        return true;
    address_bytes a{};
    if (!parse_address(who.address, a))
        return false;
    // Through a tunnel nobody is this machine: then its own end of the tunnel is all that is known.
    if (who.tunnelled && is_loopback(a))
        return false;
    return any_contains(admins, a);
}

}  // namespace gateway
