// Addresses to listen on, URLs to ask, networks to trust.
#include "proxy-config/address.hpp"

#include "catch.hpp"

#include <utility>
#include <vector>

using namespace gateway;

namespace {

listen_address listening(const char* text)
{
    std::string why;
    const auto address = parse_listen_address(text, why);
    INFO(text << ": " << why);
    REQUIRE(address);
    return *address;
}

upstream_address url_of(const char* text)
{
    std::string why;
    const auto url = parse_upstream_address(text, why);
    INFO(text << ": " << why);
    REQUIRE(url);
    return *url;
}

}  // namespace

TEST_CASE(
    "an address to listen on is an IP address and port, localhost, every interface or a socket")
{
    CHECK(listening("127.0.0.1:11435") == listen_address{"127.0.0.1", 11435, ""});
    CHECK(listening("[::1]:11435") == listen_address{"::1", 11435, ""});
    CHECK(listening("[0:0::1]:80") == listen_address{"::1", 80, ""});
    CHECK(listening(":11435") == listen_address{"", 11435, ""});
    CHECK(listening("LocalHost:1") == listen_address{"localhost", 1, ""});
    CHECK(listening("127.0.0.1:0") == listen_address{"127.0.0.1", 0, ""});
    CHECK(listening("unix:/run/gw.sock") == listen_address{"", 0, "/run/gw.sock"});
    for (const char* bad : {"",
                            "11435",
                            "127.0.0.1",
                            "127.0.0.1:",
                            "127.0.0.1:65536",
                            "127.0.0.1:-1",
                            "127.0.0.1:1x",
                            "::1:11435",
                            "[::1]",
                            "[::1]11435",
                            "[::1:11435",
                            "[]:1",
                            "[127.0.0.1]:1",
                            "256.0.0.1:1",
                            "1.2.3:1",
                            "http://127.0.0.1:1",
                            "unix:",
                            "unix:relative",
                            "gpu.lab.org:11435",
                            "*:11435",
                            "[::1%eth0]:1"}) {
        CAPTURE(bad);
        std::string why;
        CHECK_FALSE(parse_listen_address(bad, why));
        CHECK_FALSE(why.empty());
    }
    std::string why;
    CHECK_FALSE(parse_listen_address("unix:/" + std::string(107, 'a'), why));
}

TEST_CASE("an upstream is an http or https URL with a host, and perhaps a port and a prefix")
{
    CHECK(url_of("http://127.0.0.1:11434") == upstream_address{false, "127.0.0.1", 11434, ""});
    CHECK(url_of("http://gpu/") == upstream_address{false, "gpu", 80, ""});
    CHECK(url_of("HTTPS://GPU.lab.org") == upstream_address{true, "gpu.lab.org", 443, ""});
    CHECK(url_of("https://gpu_1:8443/a/b//") == upstream_address{true, "gpu_1", 8443, "/a/b"});
    CHECK(url_of("http://[fe80::0:1]:1/x") == upstream_address{false, "fe80::1", 1, "/x"});
    for (const char* bad : {"",
                            "127.0.0.1:11434",
                            "ftp://gpu",
                            "http://",
                            "http:///x",
                            "http://:11434",
                            "http://gpu:0",
                            "http://gpu:65536",
                            "http://gpu:",
                            "http://gpu:x",
                            "http://u:p@gpu",
                            "http://u@gpu",
                            "http://gpu?x=1",
                            "http://gpu/#f",
                            "http://gpu/a b",
                            "http://gpu/a//b",
                            "http://gpu/../b",
                            "http://gpu/%zz",
                            "http://[::1",
                            "http://[gpu]",
                            "http://::1",
                            "http://1.2.3.4.5",
                            "http://-a",
                            "http://a..b",
                            "http://g\xC3\xBC",
                            "http://gpu\\x",
                            "http://gpu\n"}) {
        CAPTURE(bad);
        std::string why;
        CHECK_FALSE(parse_upstream_address(bad, why));
        CHECK_FALSE(why.empty());
    }
}

TEST_CASE("a network is an address with or without its number of bits")
{
    for (const char* good :
         {"127.0.0.0/8", "::1/128", "192.0.2.7", "::1", "0.0.0.0/0", "fd00::/8"}) {
        CAPTURE(good);
        CHECK(is_network(good));
    }
    for (const char* bad : {"", "localhost", "127.0.0.0/33", "::1/129", "127.0.0/8", "127.0.0.1/",
                            "127.0.0.1/-1", "127.0.0.1/8/8", "/8", "[::1]/128", "1.2.3.4 "}) {
        CAPTURE(bad);
        CHECK_FALSE(is_network(bad));
    }
    CHECK(is_host_name("ollama.lab.org"));
    CHECK(is_host_name("192.0.2.7"));
    CHECK(is_host_name("::1"));
    CHECK_FALSE(is_host_name("ollama.lab.org:80"));
    CHECK_FALSE(is_host_name("http://ollama.lab.org"));
    CHECK(is_loopback("127.4.5.6"));
    CHECK_FALSE(is_loopback("127.example.org"));
    CHECK_FALSE(is_loopback("192.0.2.7"));
}

TEST_CASE("two listeners collide when the second could not bind")
{
    struct row {
        const char* a;
        const char* b;
        bool expected;
    };
    for (const row& r : std::vector<row>{{"127.0.0.1:1", "127.0.0.1:1", true},
                                         {"127.0.0.1:1", "127.0.0.1:2", false},
                                         {"127.0.0.1:1", "127.0.0.2:1", false},
                                         {":1", "127.0.0.1:1", true},
                                         {":1", "[::1]:1", true},
                                         {"0.0.0.0:1", "127.0.0.1:1", true},
                                         {"0.0.0.0:1", "[::]:1", false},
                                         {"localhost:1", "127.0.0.1:1", true},
                                         {"[::1]:1", "127.0.0.1:1", false},
                                         {"127.0.0.1:0", "127.0.0.1:0", false},
                                         {"unix:/a", "unix:/a", true},
                                         {"unix:/a", "unix:/b", false},
                                         {"unix:/a", ":1", false}}) {
        CAPTURE(r.a, r.b);
        CHECK(collide(listening(r.a), listening(r.b)) == r.expected);
        CHECK(collide(listening(r.b), listening(r.a)) == r.expected);
    }
}

TEST_CASE("a URL that leads back to a listener is seen")
{
    struct row {
        const char* url;
        const char* listen;
        bool expected;
    };
    for (const row& r : std::vector<row>{{"http://127.0.0.1:1", "127.0.0.1:1", true},
                                         {"http://localhost:1", "127.0.0.1:1", true},
                                         {"http://127.0.0.1:1", ":1", true},
                                         {"http://127.0.0.1:1", "0.0.0.0:1", true},
                                         {"https://[::1]:1/x", "[::1]:1", true},
                                         {"http://gpu", "0.0.0.0:80", false},
                                         {"http://127.0.0.1:2", "127.0.0.1:1", false},
                                         {"http://192.0.2.1:1", "127.0.0.1:1", false},
                                         {"http://127.0.0.1:1", "unix:/a", false}}) {
        CAPTURE(r.url, r.listen);
        CHECK(leads_to(url_of(r.url), listening(r.listen)) == r.expected);
    }
}
