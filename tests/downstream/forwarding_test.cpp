// Which header lines go on to Ollama, and which stay here.
#include "downstream/forwarding.hpp"

#include "catch.hpp"

#include <algorithm>

using namespace gateway;

namespace {

request_head with(std::vector<field> fields)
{
    request_head head;
    head.fields = std::move(fields);
    return head;
}

}  // namespace

TEST_CASE("what the client says of itself and of its body goes on, in order and as written")
{
    CHECK(upstream_fields(with({{"host", "gw.example"},
                                {"User-Agent", "ollama/0.33.0 (amd64 linux) Go/go1.26.0"},
                                {"content-type", "application/json"},
                                {"Accept", "application/x-ndjson"},
                                {"Content-Encoding", "zstd"},
                                {"X-Odd", ""},
                                {"X-Odd", "2"}})) ==
          "User-Agent: ollama/0.33.0 (amd64 linux) Go/go1.26.0\r\n"
          "content-type: application/json\r\n"
          "Accept: application/x-ndjson\r\n"
          "Content-Encoding: zstd\r\n"
          "X-Odd: \r\n"
          "X-Odd: 2\r\n"
          "Accept-Encoding: identity\r\n");
}

TEST_CASE("framing, keys, cookies and what proxies add never go on")
{
    for (const char* name : {"Host",
                             "Content-Length",
                             "Transfer-Encoding",
                             "TE",
                             "Trailer",
                             "Upgrade",
                             "Connection",
                             "Keep-Alive",
                             "Proxy-Connection",
                             "Proxy-Authenticate",
                             "Proxy-Authorization",
                             "Expect",
                             "Origin",
                             "Cookie",
                             "Authorization",
                             "X-API-Key",
                             "Forwarded",
                             "X-Forwarded-For",
                             "x-forwarded-proto",
                             "X-FORWARDED-PREFIX",
                             "X-Real-IP",
                             "CF-Ray",
                             "cf-connecting-ip",
                             "Cf-Access-Authenticated-User-Email",
                             "CDN-Loop",
                             "X-Queue-Events",
                             "X-Gateway-Heartbeat",
                             "X-Gateway-No-Fallback",
                             "Prefer",
                             "Accept-Encoding",
                             "Via"}) {
        INFO(name);
        CHECK(upstream_fields(with({{name, "canary"}})) == "Accept-Encoding: identity\r\n");
    }
    for (const char* name :
         {"X-Forward", "Cfx", "X-Gateway", "Hosts", "Cookies", "TEA", "Range", "X-Request-Id"}) {
        INFO(name);
        CHECK(upstream_fields(with({{name, "v"}})) ==
              std::string(name) + ": v\r\nAccept-Encoding: identity\r\n");
    }
}

TEST_CASE("what Connection names does not go on, whatever it is")
{
    const auto head = with({{"Connection", "keep-alive, X-Secret ,"},
                            {"X-Secret", "a"},
                            {"x-secret", "b"},
                            {"connection", "close, Foo"},
                            {"FOO", "c"},
                            {"Bar", "d"}});
    CHECK(upstream_fields(head) == "Bar: d\r\nAccept-Encoding: identity\r\n");
}

TEST_CASE("a body that was decoded here goes on without its Content-Encoding")
{
    const auto head = with({{"Content-Encoding", "zstd"}, {"A", "b"}});
    CHECK(upstream_fields(head, {true, {}}) == "A: b\r\nAccept-Encoding: identity\r\n");
}

TEST_CASE("our Via stands behind those of others, and is known again when it comes back")
{
    const auto head = with({{"Via", "1.1 first"}, {"via", "1.0 second (x)"}});
    CHECK(upstream_fields(head, {false, "gw-1"}) ==
          "Accept-Encoding: identity\r\nVia: 1.1 first, 1.0 second (x), 1.1 gw-1\r\n");
    CHECK(upstream_fields(with({}), {false, "gw-1"}) ==
          "Accept-Encoding: identity\r\nVia: 1.1 gw-1\r\n");
    CHECK(came_back(with({{"Via", "1.1 first, 1.1 gw-1, 1.1 last"}}), "gw-1"));
    CHECK(came_back(with({{"VIA", "x"}, {"Via", "HTTP/1.1 GW-1 (comment)"}}), "gw-1"));
    CHECK_FALSE(came_back(head, "gw-1"));
    CHECK_FALSE(came_back(with({{"Via", "1.1 gw-11, gw-1"}, {"X", "1.1 gw-1"}}), "gw-1"));
}
