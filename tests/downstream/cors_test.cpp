// Browsers' cross-origin questions and their answers.
#include "downstream/cors.hpp"

#include "catch.hpp"

using namespace gateway;
using verdict = cors_answer::verdict;

namespace {

request_head asked(const char* method, const char* origin, const char* host = "gw.example:8080")
{
    request_head head;
    head.method = method;
    head.fields = {{"Host", host}};
    if (origin != nullptr) {
        head.fields.push_back({"origin", origin});
    }
    return head;
}

bool has(const cors_answer& a, const std::string& text)
{
    return ("\r\n" + a.fields).find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("without an Origin, or with the page's own, CORS does not exist")
{
    for (const char* method : {"GET", "POST", "OPTIONS"}) {
        for (const char* origin : {static_cast<const char*>(nullptr), "", "http://gw.example:8080",
                                   "https://GW.example:8080"}) {
            const auto a = cors(asked(method, origin), {});
            CHECK(a.what == verdict::none);
            CHECK(a.fields.empty());
        }
    }
}

TEST_CASE("a foreign origin is refused, for simple requests and for preflights")
{
    for (const char* method : {"GET", "POST", "OPTIONS"}) {
        for (const char* origin :
             {"http://evil.example", "null", "http://gw.example", "http://gw.example:80801"}) {
            INFO(method << " " << origin);
            const auto a = cors(asked(method, origin), {"https://chat.example"});
            CHECK(a.what == verdict::foreign);
            CHECK_FALSE(has(a, "Access-Control-Allow-Origin"));
        }
    }
}

TEST_CASE("an allowed origin is named in the answer, and may read what is ours in it")
{
    for (const char* origin :
         {"http://localhost:5173", "https://chat.example", "vscode-webview://x"}) {
        INFO(origin);
        const auto a = cors(asked("POST", origin), {"https://chat.example"});
        CHECK(a.what == verdict::allowed);
        CHECK(has(a, "\r\nAccess-Control-Allow-Origin: " + std::string(origin) + "\r\n"));
        CHECK(has(a, "\r\nVary: Origin\r\n"));
        for (const char* name : {"X-Request-Id", "X-Gateway-Attempts", "X-Gateway-Model",
                                 "Server-Timing", "Retry-After", "Location"}) {
            CHECK(has(a, name));
        }
        CHECK_FALSE(has(a, "Allow-Credentials"));
        CHECK(a.fields.substr(a.fields.size() - 2) == "\r\n");
    }
}

TEST_CASE("a preflight is answered with Ollama's methods and headers, and ours")
{
    const auto a = cors(asked("OPTIONS", "http://localhost"), {});
    CHECK(a.what == verdict::preflight);
    CHECK(has(a, "\r\nAccess-Control-Allow-Origin: http://localhost\r\n"));
    CHECK(has(a, "\r\nAccess-Control-Allow-Methods: GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS\r\n"));
    CHECK(has(a, "\r\nAccess-Control-Max-Age: 43200\r\n"));
    CHECK(has(a, "\r\nVary: Origin, "));
    for (const char* name : {"Authorization",
                             "Content-Type",
                             "User-Agent",
                             "Accept",
                             "X-Requested-With",
                             "OpenAI-Beta",
                             "X-Stainless-Arch",
                             "X-Stainless-Async",
                             "X-Stainless-Custom-Poll-Interval",
                             "X-Stainless-Helper-Method",
                             "X-Stainless-Lang",
                             "X-Stainless-Os",
                             "X-Stainless-Package-Version",
                             "X-Stainless-Poll-Helper",
                             "X-Stainless-Retry-Count",
                             "X-Stainless-Runtime",
                             "X-Stainless-Runtime-Version",
                             "X-Stainless-Timeout",
                             "X-Queue-Events",
                             "X-Request-Id",
                             "Prefer",
                             "Last-Event-ID",
                             "Anthropic-Version",
                             "Anthropic-Beta",
                             "X-Api-Key",
                             "X-Gateway-Heartbeat",
                             "X-Gateway-Priority",
                             "X-Gateway-No-Fallback",
                             "X-Gateway-Upstream"}) {
        INFO(name);
        CHECK(has(a, std::string(",") + name + ",") + has(a, std::string(" ") + name + ",") > 0);
    }
}

TEST_CASE("the pages of the admin port may ask, under whatever name they came by")
{
    for (auto [origin, host] : {std::pair{"http://10.0.0.5:9435", "10.0.0.5:11435"},
                                std::pair{"http://[2001:db8::1]:9435", "[2001:db8::1]:11435"},
                                std::pair{"http://gpu.lab.org:9435", "gpu.lab.org"}}) {
        INFO(origin);
        CHECK(cors(asked("POST", origin, host), {}, "9435").what == verdict::allowed);
        CHECK(cors(asked("OPTIONS", origin, host), {}, "9435").what == verdict::preflight);
        CHECK(cors(asked("POST", origin, host), {}, "9436").what == verdict::foreign);
        CHECK(cors(asked("POST", origin, host), {}, "").what == verdict::foreign);
    }
    CHECK(cors(asked("POST", "http://10.0.0.6:9435", "10.0.0.5:11435"), {}, "9435").what ==
          verdict::foreign);
    CHECK(cors(asked("POST", "http://10.0.0.5:9435", "10.0.0.5:11435"), {}).what ==
          verdict::foreign);
}
