// The head gate: what it lets in, what it refuses, and what it says of a head that it let in.
#include "downstream/head.hpp"

#include "catch.hpp"
#include "downstream/head_corpus.hpp"

#include <random>

using namespace gateway;

namespace {

std::string printable(const std::string& s)
{
    std::string p;
    for (const char c : s.substr(0, 120)) {
        p += c >= 0x20 && c < 0x7f ? c : '.';
    }
    return p;
}

verdict verdict_of(const boost::system::result<request_head, fault>& r)
{
    if (r.has_value()) {
        return verdict::ok;
    }
    switch (r.error().code) {
        case fault_code::bad_method: return verdict::bad_method;
        case fault_code::head_too_large: return verdict::head_too_large;
        default: return verdict::bad_request;
    }
}

request_head read(const std::string& line, const std::string& fields)
{
    auto r = parse_head(line + "\r\nHost: localhost\r\n" + fields + "\r\n", {});
    REQUIRE(r.has_value());
    return *r;
}

// What must hold of every head that was let in, wherever it came from.
void check_accepted(const request_head& h, std::string_view bytes)
{
    const auto count = [&](std::string_view name) {
        std::size_t n = 0;
        for (const field& f : h.fields) {
            request_head one;
            one.fields = {f};
            n += one.has(name) ? 1 : 0;
        }
        return n;
    };
    const head_limits limits;
    REQUIRE(bytes.size() <= limits.bytes);
    REQUIRE(h.fields.size() <= limits.fields);
    REQUIRE(count("Host") <= 1);
    REQUIRE((h.http_1_0 || count("Host") == 1));
    REQUIRE(count("Content-Length") + count("Transfer-Encoding") <= 1);
    REQUIRE(h.content_length.has_value() == (count("Content-Length") == 1));
    REQUIRE(h.chunked == (count("Transfer-Encoding") == 1));
    REQUIRE(h.target.front() == '/');
    REQUIRE(h.path.front() == '/');
    REQUIRE(h.path.find('\0') == std::string::npos);
    REQUIRE(h.path.find("//") == std::string::npos);
    REQUIRE(h.path.find("/../") == std::string::npos);
    for (const field& f : h.fields) {
        REQUIRE(!f.name.empty());
        for (const char c : f.name + f.value) {
            REQUIRE(((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) || c == '\t'));
        }
    }
}

}  // namespace

TEST_CASE("each raw head of the table gets the answer it should")
{
    const auto table = head_corpus();
    CHECK(table.size() > 150);
    for (const auto& row : table) {
        INFO(printable(row.name));
        const auto r = parse_head(row.bytes, {});
        if (r.has_error()) {
            INFO(r.error().message);
            CHECK(verdict_of(r) == row.want);
            CHECK(r.error().by == whose::client);
            CHECK(r.error().again == retry::no);
            CHECK(!r.error().message.empty());
        } else {
            CHECK(verdict_of(r) == row.want);
            check_accepted(*r, row.bytes);
        }
    }
}

TEST_CASE("a head ends where its empty line ends, however it arrives")
{
    const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::string more = head + "GET / HTTP/1.1\r\n\r\n";
    CHECK(head_end(more, 0) == head.size());
    for (std::size_t seen = 0; seen <= head.size(); ++seen) {
        CHECK(head_end(std::string_view(head).substr(0, seen), 0) ==
              (seen == head.size() ? head.size() : 0));
        if (seen < head.size()) {
            CHECK(head_end(more, seen) == head.size());
        }
    }
    CHECK(head_end("", 0) == 0);
    CHECK(head_end("\n", 0) == 0);
    CHECK(head_end("GET / HTTP/1.1\nHost: a\n\nrest", 0) == 24);
    CHECK(head_end("GET / HTTP/1.1\nHost: a\n\r\nrest", 0) == 25);
}

TEST_CASE("each head of the table that is one head is found whole, byte by byte too")
{
    for (const auto& row : head_corpus()) {
        if (row.want != verdict::ok) {
            continue;
        }
        INFO(printable(row.name));
        CHECK(head_end(row.bytes, 0) == row.bytes.size());
        std::size_t found = 0;
        for (std::size_t n = 1; n <= row.bytes.size() && row.bytes.size() < 2000; ++n) {
            found = head_end(std::string_view(row.bytes).substr(0, n), n - 1);
            CHECK((found != 0) == (n == row.bytes.size()));
        }
    }
}

TEST_CASE("a head's words are told as they were sent, its path decoded")
{
    const auto h =
        read("POST /api/blobs/sha256%3Aff?x=%2F&y HTTP/1.1",
             "content-type:  application/json \r\nX: 1\r\nx: 2\r\nContent-Length: 7\r\n");
    CHECK(h.method == "POST");
    CHECK(h.target == "/api/blobs/sha256%3Aff?x=%2F&y");
    CHECK(h.path == "/api/blobs/sha256:ff");
    CHECK(h.query == "x=%2F&y");
    CHECK(h.get("Content-Type") == "application/json");
    CHECK(h.get("X") == "1");
    CHECK(h.has("HOST"));
    CHECK_FALSE(h.has("Hos"));
    CHECK(h.get("absent").empty());
    CHECK(h.content_length == 7u);
    CHECK_FALSE(h.chunked);
    CHECK(h.fields.size() == 5);
    CHECK(h.fields[1].name == "content-type");
}

TEST_CASE("a connection is kept as its version and its Connection fields say")
{
    struct row {
        const char* version;
        const char* fields;
        bool keep;
    };
    for (const row& r : {row{"1.1", "", true}, row{"1.1", "Connection: close\r\n", false},
                         row{"1.1", "Connection: Keep-Alive\r\n", true},
                         row{"1.1", "Connection: foo, CLOSE\r\n", false},
                         row{"1.1", "Connection: foo\r\nConnection: close\r\n", false},
                         row{"1.1", "Connection: keep-alive, close\r\n", false},
                         row{"1.1", "Proxy-Connection: close\r\n", true}, row{"1.0", "", false},
                         row{"1.0", "Connection: keep-alive\r\n", true},
                         row{"1.0", "Connection: keep-alive, close\r\n", false}}) {
        INFO(r.version << " " << r.fields);
        CHECK(read(std::string("GET / HTTP/") + r.version, r.fields).keep_alive == r.keep);
    }
}

TEST_CASE("a client is told to go on only when it has a body to send")
{
    CHECK(
        read("POST / HTTP/1.1", "Content-Length: 5\r\nExpect: 100-continue\r\n").expects_continue);
    CHECK(read("PUT / HTTP/1.1", "Transfer-Encoding: chunked\r\nExpect: 100-CONTINUE\r\n")
              .expects_continue);
    CHECK_FALSE(
        read("POST / HTTP/1.1", "Content-Length: 0\r\nExpect: 100-continue\r\n").expects_continue);
    CHECK_FALSE(read("GET / HTTP/1.1", "Expect: 100-continue\r\n").expects_continue);
    CHECK_FALSE(
        read("POST / HTTP/1.0", "Content-Length: 5\r\nExpect: 100-continue\r\n").expects_continue);
    CHECK_FALSE(read("POST / HTTP/1.1", "Content-Length: 5\r\n").expects_continue);
}

TEST_CASE("the configured limits are the ones that hold")
{
    const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n";
    CHECK(parse_head(head, {head.size(), 2}).has_value());
    CHECK(parse_head(head, {head.size() - 1, 2}).error().code == fault_code::head_too_large);
    CHECK(parse_head(head, {head.size(), 1}).error().code == fault_code::head_too_large);
}

TEST_CASE("a loopback listener is reached under local names, local addresses and configured ones")
{
    const std::vector<std::string> hosts = {"ollama.lab.org", "*.tunnel.example", "with.port:8080"};
    for (const char* host : {"",
                             "localhost",
                             "LocalHost:11435",
                             "localhost.",
                             "a.localhost",
                             "box.local",
                             "x.y.internal:1",
                             "127.0.0.1",
                             "127.9.9.9:1",
                             "10.1.2.3",
                             "172.16.0.1",
                             "172.31.255.255",
                             "192.168.1.1",
                             "0.0.0.0",
                             "[::1]",
                             "[::1]:11435",
                             "[::]",
                             "[fd00::1]",
                             "[::ffff:127.0.0.1]",
                             "[::ffff:10.0.0.1]:5",
                             "ollama.lab.org",
                             "OLLAMA.LAB.ORG:443",
                             "a.tunnel.example",
                             "a.b.Tunnel.example:1",
                             "with.port"}) {
        INFO(host);
        CHECK(host_allowed(host, hosts));
    }
    for (const char* host : {"evil.example",
                             "localhost.evil.example",
                             "evillocalhost",
                             "local",
                             "internal",
                             ".local",
                             "127.0.0.1.evil.example",
                             "8.8.8.8",
                             "172.32.0.1",
                             "172.15.0.1",
                             "192.169.0.1",
                             "1.0.0.0",
                             "[2001:db8::1]",
                             "[::2]",
                             "[::ffff:8.8.8.8]",
                             "x.ollama.lab.org",
                             "lab.org",
                             "tunnel.example",
                             "xtunnel.example",
                             "0x7f.0.0.1",
                             "127.1",
                             "2130706433",
                             "localhost:80@evil",
                             "[::1",
                             "[",
                             "::1"}) {
        INFO(host);
        CHECK_FALSE(host_allowed(host, hosts));
    }
    CHECK_FALSE(host_allowed("ollama.lab.org", {}));
}

TEST_CASE("the origins of Ollama's own list, the configured ones and the page's own are let in")
{
    const std::vector<std::string> origins = {"https://chat.example", "https://*.lab.org",
                                              "chrome-extension://*"};
    for (const char* origin :
         {"http://localhost", "https://localhost", "http://localhost:3000",
          "https://127.0.0.1:8443", "http://0.0.0.0:1", "app://obsidian.md", "file://",
          "tauri://localhost", "vscode-webview://abc", "vscode-file://vscode-app",
          "https://chat.example", "https://a.lab.org", "https://a.b.lab.org",
          "chrome-extension://abcdef", "http://gw.example:1", "https://gw.example:1"}) {
        INFO(origin);
        CHECK(origin_allowed(origin, "gw.example:1", origins));
    }
    for (const char* origin :
         {"null", "", "http://evil.example", "http://localhost.evil.example",
          "http://localhost:1.evil.example", "https://chat.example.evil.example",
          "https://chat.example:444", "https://lab.org", "https://evillab.org.example",
          "ftp://localhost", "http://gw.example", "http://gw.example:2", "moz-extension://x",
          "http://[::1"}) {
        INFO(origin);
        CHECK_FALSE(origin_allowed(origin, "gw.example:1", origins));
    }
    CHECK(origin_allowed("null", "h", {"*"}));
    CHECK(origin_allowed("http://evil.example", "h", {"*"}));
    CHECK_FALSE(origin_allowed("http://", "", {}));
}

TEST_CASE("a mutated head is let in whole and unambiguous, or refused")
{
    const auto table = head_corpus();
    std::mt19937 random(20240817);
    const std::string spice = std::string(
        "\r\n\t :,;%/.\\\0\x7f\xff"
        "0aA",
        17);
    int accepted = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string bytes = table[random() % table.size()].bytes;
        if (bytes.size() > 1000) {
            continue;
        }
        for (unsigned n = random() % 4; n > 0 && !bytes.empty(); --n) {
            const auto at = random() % bytes.size();
            switch (random() % 3) {
                case 0: bytes[at] = spice[random() % spice.size()]; break;
                case 1: bytes.erase(at, 1 + random() % 3); break;
                default: bytes.insert(at, 1, spice[random() % spice.size()]); break;
            }
        }
        const auto r = parse_head(bytes, {});
        if (r.has_value()) {
            ++accepted;
            check_accepted(*r, bytes);
            REQUIRE(head_end(bytes, 0) == bytes.size());
        }
    }
    CHECK(accepted > 1000);
}
