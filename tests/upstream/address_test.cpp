// An upstream's URL taken apart.
#include "upstream/address.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE("an upstream URL gives scheme, host, port, prefix and the Host to send")
{
    struct row {
        const char* url;
        bool tls;
        const char *host, *port, *prefix, *authority;
    };
    const row rows[] = {
        {"http://127.0.0.1:11434", false, "127.0.0.1", "11434", "", "127.0.0.1:11434"},
        {"http://ollama", false, "ollama", "80", "", "ollama"},
        {"https://gpu.lab.org", true, "gpu.lab.org", "443", "", "gpu.lab.org"},
        {"https://gpu.lab.org:8443/ollama/", true, "gpu.lab.org", "8443", "/ollama",
         "gpu.lab.org:8443"},
        {"http://[::1]:11434/a/b", false, "::1", "11434", "/a/b", "[::1]:11434"},
        {"http://[fe80::1]", false, "fe80::1", "80", "", "[fe80::1]"},
    };
    for (const auto& r : rows) {
        INFO(r.url);
        auto u = parse_upstream_url(r.url);
        CHECK(u.tls == r.tls);
        CHECK(u.host == r.host);
        CHECK(u.port == r.port);
        CHECK(u.prefix == r.prefix);
        CHECK(u.authority == r.authority);
    }
}
