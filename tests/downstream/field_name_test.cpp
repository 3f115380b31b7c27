// Names of fields told apart, in any case, and those that nearly are one.
#include "downstream/field_name.hpp"

#include "base/text.hpp"
#include "catch.hpp"

#include <algorithm>
#include <string>
#include <vector>

using namespace gateway;

namespace {

struct row {
    std::string text;
    field_name is;
};

const std::vector<row> names{
    {"accept", field_name::accept},
    {"accept-encoding", field_name::accept_encoding},
    {"accept-language", field_name::accept_language},
    {"authorization", field_name::authorization},
    {"cdn-loop", field_name::cdn_loop},
    {"cf-connecting-ip", field_name::cf_connecting_ip},
    {"cf-ray", field_name::cf_ray},
    {"connection", field_name::connection},
    {"content-encoding", field_name::content_encoding},
    {"content-length", field_name::content_length},
    {"content-type", field_name::content_type},
    {"cookie", field_name::cookie},
    {"cookie2", field_name::cookie2},
    {"expect", field_name::expect},
    {"forwarded", field_name::forwarded},
    {"host", field_name::host},
    {"keep-alive", field_name::keep_alive},
    {"origin", field_name::origin},
    {"prefer", field_name::prefer},
    {"proxy-authenticate", field_name::proxy_authenticate},
    {"proxy-authentication-info", field_name::proxy_authentication_info},
    {"proxy-authorization", field_name::proxy_authorization},
    {"proxy-connection", field_name::proxy_connection},
    {"te", field_name::te},
    {"trailer", field_name::trailer},
    {"transfer-encoding", field_name::transfer_encoding},
    {"upgrade", field_name::upgrade},
    {"via", field_name::via},
    {"x-api-key", field_name::x_api_key},
    {"x-forwarded-for", field_name::x_forwarded_for},
    {"x-gateway-heartbeat", field_name::x_gateway_heartbeat},
    {"x-gateway-no-fallback", field_name::x_gateway_no_fallback},
    {"x-gateway-priority", field_name::x_gateway_priority},
    {"x-gateway-upstream", field_name::x_gateway_upstream},
    {"x-queue-events", field_name::x_queue_events},
    {"x-real-ip", field_name::x_real_ip},
    {"x-request-id", field_name::x_request_id},
};

const std::vector<row> families{
    {"access-control-", field_name::any_access_control}, {"cf-", field_name::any_cf},
    {"x-forwarded-", field_name::any_x_forwarded},       {"x-gateway-", field_name::any_x_gateway},
    {"x-openwebui-", field_name::any_x_openwebui},
};

std::string in_capitals(std::string text)
{
    for (char& c : text) {
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return text;
}

field_name family_of(std::string_view text)
{
    const auto family = std::find_if(families.begin(), families.end(),
                                     [&](const row& f) { return text.starts_with(f.text); });
    return family == families.end() ? field_name::other : family->is;
}

}  // namespace

TEST_CASE("each name that is known is told in any case, and nothing that is nearly one")
{
    for (const row& name : names) {
        INFO(name.text);
        CHECK(named(name.text) == name.is);
        CHECK(named(in_capitals(name.text)) == name.is);
        CHECK(named(name.text + "s") == family_of(name.text));
        for (std::size_t at = 0; at < name.text.size(); ++at) {
            for (const char other : {'_', '\r', '\0', static_cast<char>(name.text[at] ^ '\x80')}) {
                std::string changed = name.text;
                changed[at] = other;
                CHECK(named(changed) == family_of(changed));
            }
        }
    }
}

TEST_CASE("what begins as a family does belongs to it, unless it has a number of its own")
{
    for (const row& family : families) {
        INFO(family.text);
        CHECK(named(family.text) == family.is);
        CHECK(named(in_capitals(family.text)) == family.is);
        CHECK(named(family.text + std::string(100, 'x')) == family.is);
        CHECK(named(family.text.substr(0, family.text.size() - 1)) == field_name::other);
    }
    for (const char* text : {"", "x", "x-", "user-agent", "hosts", "x-forward", "date", "cfx"}) {
        INFO(text);
        CHECK(named(text) == field_name::other);
    }
}
