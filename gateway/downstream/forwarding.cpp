// The field lists of forwarding.hpp.
#include "downstream/forwarding.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway {

namespace {

// Fields for this connection only (RFC 9110 §7.6.1), and those that are between the client and the
// gateway.
bool stays(field_name name)
{
    switch (name) {
        case field_name::connection:
        case field_name::keep_alive:
        case field_name::proxy_connection:
        case field_name::proxy_authenticate:
        case field_name::proxy_authorization:
        case field_name::proxy_authentication_info:
        case field_name::te:
        case field_name::trailer:
        case field_name::transfer_encoding:
        case field_name::upgrade:

        case field_name::host:
        case field_name::content_length:
        case field_name::expect:
        case field_name::origin:
        case field_name::cookie:
        case field_name::cookie2:
        case field_name::authorization:
        case field_name::x_api_key:
        case field_name::prefer:
        case field_name::x_queue_events:
        case field_name::forwarded:
        case field_name::x_forwarded_for:
        case field_name::any_x_forwarded:
        case field_name::x_real_ip:
        case field_name::cdn_loop:
        case field_name::cf_connecting_ip:
        case field_name::cf_ray:
        case field_name::any_cf:
        case field_name::via:
        case field_name::accept_encoding:
        case field_name::x_gateway_heartbeat:
        case field_name::x_gateway_no_fallback:
        case field_name::x_gateway_priority:
        case field_name::x_gateway_upstream:
        case field_name::any_x_gateway:
        case field_name::any_access_control: return true;
        default: return false;
    }
}

// What the Connection fields name, beyond the fixed ones.
std::vector<std::string_view> named_by_connection(const request_head& head)
{
    std::vector<std::string_view> names;
    for (const field& f : head.fields) {
        if (f.is != field_name::connection) {
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
    const std::size_t before = to.size();
    to.resize(before + name.size() + value.size() + 4);
    char* at = std::copy(name.begin(), name.end(), to.data() + before);
    *at++ = ':';
    *at++ = ' ';
    at = std::copy(value.begin(), value.end(), at);
    *at++ = '\r';
    *at = '\n';
}

}  // namespace

std::string upstream_fields(const request_head& head, const forwarding& how)
{
    const auto named = named_by_connection(head);
    const auto goes_on = [&](const field& f) {
        return !stays(f.is) && !(how.decoded && f.is == field_name::content_encoding) &&
               std::none_of(named.begin(), named.end(),
                            [&](std::string_view n) { return iequals(n, f.name); });
    };
    std::string lines;
    lines.reserve(256);  // those of most clients
    for (const field& f : head.fields) {
        if (goes_on(f)) {
            append_line(lines, f.name, f.value);
        }
    }
    if (how.via.empty()) {
        lines.append("Accept-Encoding: identity\r\n");
    } else {
        lines.append("Accept-Encoding: identity\r\nVia: ");
        for (const field& f : head.fields) {
            if (f.is == field_name::via) {
                lines.append(f.value).append(", ");
            }
        }
        lines.append(head.http_1_0 ? "1.0 " : "1.1 ").append(how.via).append("\r\n");
    }
    return lines;
}

bool came_back(const request_head& head, std::string_view name)
{
    for (const field& f : head.fields) {
        if (f.is != field_name::via) {
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
