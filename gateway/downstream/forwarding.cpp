// The field lists of forwarding.hpp.
#include "downstream/forwarding.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace gateway {

namespace {

constexpr std::array<std::string_view, 10> always_hop_by_hop = {"connection",
                                                                "keep-alive",
                                                                "proxy-connection",
                                                                "proxy-authenticate",
                                                                "proxy-authorization",
                                                                "proxy-authentication-info",
                                                                "te",
                                                                "trailer",
                                                                "transfer-encoding",
                                                                "upgrade"};

constexpr std::array<std::string_view, 15> stays_here = {
    "host",      "content-length", "expect",    "origin", "cookie",
    "cookie2",   "authorization",  "x-api-key", "prefer", "x-queue-events",
    "forwarded", "x-real-ip",      "cdn-loop",  "via",    "accept-encoding"};

constexpr std::array<std::string_view, 4> families_that_stay_here = {
    "x-forwarded-", "cf-", "x-gateway-", "access-control-"};

template <class Names>
bool contains(const Names& names, std::string_view name)
{
    return std::any_of(names.begin(), names.end(),
                       [&](std::string_view n) { return iequals(n, name); });
}

bool stays(std::string_view name)
{
    return contains(always_hop_by_hop, name) || contains(stays_here, name) ||
           std::any_of(families_that_stay_here.begin(), families_that_stay_here.end(),
                       [&](std::string_view family) { return istarts_with(name, family); });
}

// What the Connection fields name, beyond the fixed ones.
std::vector<std::string_view> named_by_connection(const request_head& head)
{
    std::vector<std::string_view> names;
    for (const field& f : head.fields) {
        if (!iequals(f.name, "connection")) {
            continue;
        }
        for (const std::string_view option : split(f.value, ',')) {
            if (!option.empty() && !iequals(option, "close") && !iequals(option, "keep-alive")) {
                names.push_back(option);
            }
        }
    }
    return names;
}

void append_line(std::string& to, std::string_view name, std::string_view value)
{
    to.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

std::vector<std::string> hop_by_hop(const request_head& head)
{
    std::vector<std::string> names(always_hop_by_hop.begin(), always_hop_by_hop.end());
    for (const std::string_view option : named_by_connection(head)) {
        if (!contains(names, option)) {
            names.push_back(to_lower(option));
        }
    }
    return names;
}

std::string upstream_fields(const request_head& head, const forwarding& how)
{
    const auto named = named_by_connection(head);
    std::string lines;
    std::string via;
    lines.reserve(256);  // those of most clients
    for (const field& f : head.fields) {
        if (iequals(f.name, "via") && !how.via.empty()) {
            via.append(f.value).append(", ");
        }
        if (stays(f.name) || contains(named, f.name) ||
            (how.decoded && iequals(f.name, "content-encoding"))) {
            continue;
        }
        append_line(lines, f.name, f.value);
    }
    append_line(lines, "Accept-Encoding", "identity");
    if (!how.via.empty()) {
        append_line(lines, "Via", via.append(head.http_1_0 ? "1.0 " : "1.1 ").append(how.via));
    }
    return lines;
}

bool came_back(const request_head& head, std::string_view name)
{
    for (const field& f : head.fields) {
        if (!iequals(f.name, "via")) {
            continue;
        }
        for (const std::string_view entry : split(f.value, ',')) {
            // "1.1 name (comment)", "HTTP/1.1 name"
            const auto parts = split(entry, ' ');
            if (parts.size() > 1 && iequals(parts[1], name)) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace gateway
