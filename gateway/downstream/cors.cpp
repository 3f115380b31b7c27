// The rules and lists of cors.hpp.
#include "downstream/cors.hpp"

#include "base/text.hpp"

#include <string_view>

namespace gateway {

namespace {

// The first line and the x-stainless ones are Ollama's (routes.go:1845), the rest is ours, and what
// the Anthropic and OpenAI SDKs send from a browser.
constexpr std::string_view preflight_fields =
    "Access-Control-Allow-Methods: GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS\r\n"
    "Access-Control-Allow-Headers: "
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,OpenAI-Beta,"
    "X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,"
    "X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,"
    "X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,"
    "X-Stainless-Runtime-Version,X-Stainless-Timeout,X-Stainless-Helper,"
    "OpenAI-Organization,OpenAI-Project,"
    "Anthropic-Version,Anthropic-Beta,Anthropic-Dangerous-Direct-Browser-Access,X-Api-Key,"
    "X-Queue-Events,X-Request-Id,X-Gateway-Priority,X-Gateway-Heartbeat,X-Gateway-No-Fallback,"
    "X-Gateway-Upstream,Prefer,Last-Event-ID,Idempotency-Key\r\n"
    "Access-Control-Max-Age: 43200\r\n"
    "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n";

constexpr std::string_view answer_fields =
    "Access-Control-Expose-Headers: X-Request-Id,X-Gateway-Attempts,X-Gateway-Model,Server-Timing,"
    "Retry-After,Location\r\n"
    "Vary: Origin\r\n";

bool is_same_origin(std::string_view origin, std::string_view host)
{
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (istarts_with(origin, scheme) && iequals(origin.substr(scheme.size()), host)) {
            return true;
        }
    }
    return false;
}

// The chat page of the admin port asks the public one under the same host name.
bool is_own_page(std::string_view origin, std::string_view host, std::string_view port)
{
    auto colon = host.rfind(':');
    if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos)
        host = host.substr(0, colon);
    return !port.empty() && is_same_origin(origin, std::string(host) + ":" + std::string(port));
}

}  // namespace

cors_answer cors(const request_head& head, const std::vector<std::string>& origins,
                 std::string_view pages_port)
{
    using verdict = cors_answer::verdict;
    if (!head.has(field_name::origin)) {
        return {};
    }
    const std::string_view origin = head.get(field_name::origin);
    const std::string_view host = head.get(field_name::host);
    if (origin.empty() || is_same_origin(origin, host)) {
        return {};
    }
    if (!origin_allowed(origin, host, origins) && !is_own_page(origin, host, pages_port)) {
        return {verdict::foreign, "Vary: Origin\r\n"};
    }
    cors_answer answer{verdict::allowed, "Access-Control-Allow-Origin: "};
    answer.fields.append(origin).append("\r\n");
    if (head.method == "OPTIONS") {
        answer.what = verdict::preflight;
        answer.fields += preflight_fields;
    } else {
        answer.fields += answer_fields;
    }
    return answer;
}

}  // namespace gateway
