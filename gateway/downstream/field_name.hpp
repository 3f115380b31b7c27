// The header fields that something here asks for, told apart once, as a head is read: from then on
// a field is found by number. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace gateway {

enum class field_name : std::uint8_t {
    other,
    accept,
    accept_encoding,
    accept_language,
    authorization,
    cdn_loop,
    cf_connecting_ip,
    cf_ray,
    connection,
    content_encoding,
    content_length,
    content_type,
    cookie,
    cookie2,
    expect,
    forwarded,
    host,
    keep_alive,
    origin,
    prefer,
    proxy_authenticate,
    proxy_authentication_info,
    proxy_authorization,
    proxy_connection,
    te,
    trailer,
    transfer_encoding,
    upgrade,
    via,
    x_api_key,
    x_forwarded_for,
    x_gateway_heartbeat,
    x_gateway_no_fallback,
    x_gateway_priority,
    x_gateway_upstream,
    x_queue_events,
    x_real_ip,
    x_request_id,
    // Families: whatever else begins so.
    any_access_control,
    any_cf,
    any_x_forwarded,
    any_x_gateway,
    any_x_openwebui,
};

// `text` in any case.
field_name named(std::string_view text);

}  // namespace gateway
