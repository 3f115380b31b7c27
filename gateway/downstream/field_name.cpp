#include "downstream/field_name.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace gateway {

namespace {

struct known_name {
    std::string_view text;  // as most clients write it, which is what is compared fastest
    field_name is;
};

constexpr std::size_t longest = 25;

// By length: only names of its own length can be a field's.
constexpr std::array known{
    known_name{"TE", field_name::te},
    known_name{"Via", field_name::via},
    known_name{"Host", field_name::host},
    known_name{"Accept", field_name::accept},
    known_name{"Cf-Ray", field_name::cf_ray},
    known_name{"Cookie", field_name::cookie},
    known_name{"Expect", field_name::expect},
    known_name{"Origin", field_name::origin},
    known_name{"Prefer", field_name::prefer},
    known_name{"Cookie2", field_name::cookie2},
    known_name{"Trailer", field_name::trailer},
    known_name{"Upgrade", field_name::upgrade},
    known_name{"CDN-Loop", field_name::cdn_loop},
    known_name{"Forwarded", field_name::forwarded},
    known_name{"X-Api-Key", field_name::x_api_key},
    known_name{"X-Real-IP", field_name::x_real_ip},
    known_name{"Connection", field_name::connection},
    known_name{"Keep-Alive", field_name::keep_alive},
    known_name{"Content-Type", field_name::content_type},
    known_name{"X-Request-Id", field_name::x_request_id},
    known_name{"Authorization", field_name::authorization},
    known_name{"Content-Length", field_name::content_length},
    known_name{"X-Queue-Events", field_name::x_queue_events},
    known_name{"Accept-Encoding", field_name::accept_encoding},
    known_name{"Accept-Language", field_name::accept_language},
    known_name{"X-Forwarded-For", field_name::x_forwarded_for},
    known_name{"Cf-Connecting-Ip", field_name::cf_connecting_ip},
    known_name{"Content-Encoding", field_name::content_encoding},
    known_name{"Proxy-Connection", field_name::proxy_connection},
    known_name{"Transfer-Encoding", field_name::transfer_encoding},
    known_name{"Proxy-Authenticate", field_name::proxy_authenticate},
    known_name{"X-Gateway-Priority", field_name::x_gateway_priority},
    known_name{"X-Gateway-Upstream", field_name::x_gateway_upstream},
    known_name{"Proxy-Authorization", field_name::proxy_authorization},
    known_name{"X-Gateway-Heartbeat", field_name::x_gateway_heartbeat},
    known_name{"X-Gateway-No-Fallback", field_name::x_gateway_no_fallback},
    known_name{"Proxy-Authentication-Info", field_name::proxy_authentication_info},
};

// Where those of each length begin; behind the longest, the end.
constexpr std::array<std::uint8_t, longest + 2> first_of_size = [] {
    std::array<std::uint8_t, longest + 2> at{};
    for (const known_name& name : known) {
        for (std::size_t longer = name.text.size() + 1; longer < at.size(); ++longer) {
            ++at[longer];
        }
    }
    return at;
}();

static_assert(first_of_size.back() == known.size());
static_assert(std::is_sorted(known.begin(), known.end(), [](const auto& a, const auto& b) {
    return a.text.size() < b.text.size();
}));

constexpr std::array families{
    known_name{"Access-Control-", field_name::any_access_control},
    known_name{"Cf-", field_name::any_cf},
    known_name{"X-Forwarded-", field_name::any_x_forwarded},
    known_name{"X-Gateway-", field_name::any_x_gateway},
    known_name{"X-OpenWebUI-", field_name::any_x_openwebui},
};

// Does `text` begin with it? `last`, its last letter, is looked at first: in that most names
// differ, while many begin alike.
bool begins(std::string_view text, std::string_view name, std::size_t last)
{
    constexpr int letter_case = 0x20;
    return ((text.data()[last] ^ name.data()[last]) & ~letter_case) == 0 &&
           istarts_with(text, name);
}

}  // namespace

field_name named(std::string_view text)
{
    if (text.size() <= longest) {
        const auto end = known.begin() + first_of_size[text.size() + 1];
        for (auto name = known.begin() + first_of_size[text.size()]; name != end; ++name) {
            if (begins(text, name->text, text.size() - 1)) {
                return name->is;
            }
        }
    }
    for (const known_name& family : families) {
        const std::size_t size = family.text.size();
        if (text.size() >= size && begins(text, family.text, size - 2)) {  // before its dash
            return family.is;
        }
    }
    return field_name::other;
}

}  // namespace gateway
