// Where the chat page finds the public port, and what is built into the program.
#include "admin/dashboard.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE("the public port is asked for under the name that the admin port was")
{
    const std::vector<std::string> listen{"unix:/run/gw", "127.0.0.1:11435", "192.0.2.1:80"};
    CHECK(public_url("localhost:9435", listen) == "http://localhost:11435");
    CHECK(public_url("[::1]:9435", listen) == "http://[::1]:11435");
    CHECK(public_url("[::1]", listen) == "http://[::1]:11435");
    CHECK(public_url("gpu.lab.org", listen) == "http://gpu.lab.org:11435");
    CHECK(public_url("localhost:9435", {"[::1]:11435"}) == "http://localhost:11435");
}

TEST_CASE("there is none without a port, and none under a name that is none")
{
    CHECK(public_url("localhost:9435", {"unix:/run/gw"}).empty());
    CHECK(public_url("localhost:9435", {}).empty());
    for (const char* host : {"", ":9435", "a b:9435", "x\"><script>:9435", "x; script-src *:1",
                             "x'y:1", "\xc3\xa4:1", "a\r\nb:1"}) {
        INFO(host);
        CHECK(public_url(host, {"127.0.0.1:11435"}).empty());
    }
}

TEST_CASE("the pages are in the program whole")
{
    auto find = [](std::string_view path) -> std::string_view {
        for (const auto& f : embedded_files)
            if (f.path == path)
                return f.body;
        return {};
    };
    CHECK(find("index.html").starts_with("<!doctype html>"));
    CHECK(find("index.html").ends_with("</html>\n"));
    CHECK(find("uplot/uPlot.iife.min.js").size() > 50'000);
    CHECK(find("uplot/LICENSE").find("Copyright") != std::string_view::npos);
    CHECK(find("words.js").find("\xe2\x80\x93") != std::string_view::npos);  // not only ASCII
    CHECK(find("chat.html").find("http://127.0.0.1:11435") != std::string_view::npos);
    CHECK(is_dashboard_path("/"));
    CHECK(is_dashboard_path("/try"));
    CHECK_FALSE(is_dashboard_path("/dashboards"));
}
