// Raw request heads and what becomes of each: the conformance table of the head gate. Names like D7
// are the rows of the list of what Beast 1.81 lets through; RFC numbers are of RFC 9112 and 9110.
#pragma once

#include <string>
#include <vector>

enum class verdict { ok, bad_request, bad_method, head_too_large };

struct raw_head {
    std::string name;
    std::string bytes;
    verdict want;
};

namespace head_rows {

using namespace std::string_literals;

inline std::string head(const std::string& line, const std::string& fields)
{
    return line + "\r\nHost: localhost\r\n" + fields + "\r\n";
}

inline std::string post(const std::string& fields)
{
    return head("POST /api/chat HTTP/1.1", fields);
}

inline std::string get(const std::string& target)
{
    return head("GET " + target + " HTTP/1.1", "");
}

inline std::string with_host(const std::string& value)
{
    return "GET / HTTP/1.1\r\nHost:" + value + "\r\n\r\n";
}

inline void framing(std::vector<raw_head>& t)
{
    for (const auto& value :
         {"xchunked"s, "identity"s, "\"chunked\""s, ""s, "\xa0"s + "chunked", "chunked, gzip"s,
          "chunked, chunked"s, "gzip;q=1, chunked"s, "@chunked"s, "chunkedx"s, "chunk"s, ","s}) {
        t.push_back({"D1 Transfer-Encoding: " + value, post("Transfer-Encoding: " + value + "\r\n"),
                     verdict::bad_request});
    }
    for (const auto& value :
         {"chunked;foo=bar"s, "chunked foo"s, "chunked\""s, "chunked, @"s, "chunked/1"s,
          "chunked\xa0"s, ",chunked"s, "chunked,"s, "chunked;"s}) {
        t.push_back({"D2 Transfer-Encoding: " + value, post("Transfer-Encoding: " + value + "\r\n"),
                     verdict::bad_request});
    }
    const auto no = verdict::bad_request;
    t.push_back({"D3 gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n"), no});
    t.push_back(
        {"D3 two lines", post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), no});
    t.push_back({"D3 chunked twice",
                 post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), no});
    t.push_back({"D3 an empty second line",
                 post("Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n"), no});
    t.push_back(
        {"D4 gzip then length", post("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n"), no});
    t.push_back({"D4 identity then length",
                 post("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"), no});
    t.push_back(
        {"D5 chunked in 1.0", head("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n"), no});
    t.push_back(
        {"D5 chunked in 1.0, kept alive",
         head("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n"), no});
    t.push_back({"D6 length then chunked",
                 post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), no});
    t.push_back({"D6 chunked then length",
                 post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), no});
    t.push_back({"D6 lengths differ", post("Content-Length: 5\r\nContent-Length: 6\r\n"), no});
    for (const auto& value :
         {"-5"s, "+5"s, "0x5"s, "5xyz"s, "5,"s, ",5"s, ""s, "5 5"s, "5.0"s, "1e3"s,
          "18446744073709551616"s, "99999999999999999999999"s, "\"5\""s, "5;5"s, "\xd9\xa5"s}) {
        t.push_back({"D6 Content-Length: " + value, post("Content-Length: " + value + "\r\n"), no});
    }
    t.push_back({"D7 length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n"), no});
    t.push_back({"D7 length as a list", post("Content-Length: 5, 5\r\n"), no});
    t.push_back({"D17 GET with a length", head("GET / HTTP/1.1", "Content-Length: 5\r\n"), no});
    t.push_back({"D17 HEAD with a length", head("HEAD / HTTP/1.1", "Content-Length: 5\r\n"), no});
    t.push_back(
        {"D17 GET with chunks", head("GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n"), no});
    t.push_back({"D17 unknown Expect", post("Content-Length: 5\r\nExpect: 200-ok\r\n"), no});
    t.push_back({"D17 empty Expect", post("Content-Length: 5\r\nExpect:\r\n"), no});
    const auto yes = verdict::ok;
    t.push_back({"a length", post("Content-Length: 5\r\n"), yes});
    t.push_back({"a length with zeros before it", post("Content-Length: 0005\r\n"), yes});
    t.push_back({"the longest length", post("Content-Length: 18446744073709551614\r\n"), yes});
    t.push_back({"a padded length", post("Content-Length: \t 5 \t\r\n"), yes});
    t.push_back({"no length", post(""), yes});
    t.push_back({"chunked", post("Transfer-Encoding: chunked\r\n"), yes});
    t.push_back({"Chunked", post("transfer-encoding:\tChunKED \r\n"), yes});
    t.push_back({"GET of length 0", head("GET / HTTP/1.1", "Content-Length: 0\r\n"), yes});
    t.push_back(
        {"DELETE with a body", head("DELETE /api/delete HTTP/1.1", "Content-Length: 9\r\n"), yes});
    t.push_back({"D18 100-continue", post("Content-Length: 5\r\nExpect: 100-Continue\r\n"), yes});
}

inline void hosts(std::vector<raw_head>& t)
{
    const auto no = verdict::bad_request;
    t.push_back({"D8 no Host", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", no});
    t.push_back({"D8 no fields at all", "GET / HTTP/1.1\r\n\r\n", no});
    t.push_back({"D8 Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", no});
    t.push_back({"D8 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nAccept: x\r\nhost: b\r\n\r\n", no});
    t.push_back({"D8 Host twice in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", no});
    for (const auto& value : {"a b"s,     "a,b"s,          "user@a"s,
                              "a:b"s,     "a:1:2"s,        "a/b"s,
                              "a?b"s,     "a#b"s,          "http://a"s,
                              "[::1"s,    "::1"s,          "[::1]x"s,
                              "[g::1]"s,  "[]"s,           "["s,
                              "]"s,       "[1.2.3.4]"s,    ":80"s,
                              "a:65536"s, "a:-1"s,         "a%41"s,
                              "a\\b"s,    "\xff"s,         "a\"b"s,
                              "a<b"s,     "[::1%25eth0]"s, "a:99999999999999999999"s}) {
        t.push_back({"D8 Host: " + value, with_host(" " + value), no});
    }
    for (const auto& value :
         {"localhost"s, "localhost:11435"s, "LOCALHOST"s, "127.0.0.1"s, "127.0.0.1:1"s, "[::1]"s,
          "[::1]:11435"s, "[::ffff:1.2.3.4]:65535"s, "a-b.c_d.example"s, "example."s, "a:"s, ""s}) {
        t.push_back({"Host: " + value, with_host(" " + value), verdict::ok});
    }
    t.push_back({"no Host in 1.0", "GET / HTTP/1.0\r\n\r\n", verdict::ok});
    t.push_back({"Host in 1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", verdict::ok});
}

inline void targets(std::vector<raw_head>& t)
{
    for (const auto& target : {"/a#frag"s,
                               "/a\xff"s,
                               "/a<b"s,
                               "/a>b"s,
                               "/a\"b"s,
                               "/a\\b"s,
                               "/a^b"s,
                               "/a{b"s,
                               "/a}b"s,
                               "/a|b"s,
                               "/a`b"s,
                               "api/chat"s,
                               "*"s,
                               "http://localhost/api/chat"s,
                               "http:/api"s,
                               "//localhost/"s,
                               "localhost:80"s,
                               "/%00"s,
                               "/api%2fchat"s,
                               "/api%2Fchat"s,
                               "/a%5cb"s,
                               "/%2e%2e/x"s,
                               "/%2E"s,
                               "/api/%63hat"s,
                               "/%7E"s,
                               "/%5f"s,
                               "/%2d"s,
                               "/%30"s,
                               "//"s,
                               "/a//b"s,
                               "/api//chat"s,
                               "/./a"s,
                               "/a/."s,
                               "/a/.."s,
                               "/../a"s,
                               "/a/../b"s,
                               "/%"s,
                               "/%4"s,
                               "/%zz"s,
                               "/a%"s,
                               "/%0a"s,
                               "/%7f"s,
                               "/a[b]"s,
                               "/?%00"s,
                               "/?a%zz"s,
                               "/?a#b"s,
                               "/?a\xc3\xa9"s,
                               "?a"s,
                               "/?<"s,
                               "/?%"s}) {
        t.push_back({"D15 " + target, get(target), verdict::bad_request});
    }
    for (const auto& target :
         {"/"s, "/api/chat"s, "/api/chat/"s, "/api/blobs/sha256:00ff"s, "/api/blobs/sha256%3A00ff"s,
          "/v1/models/a%20b"s, "/%C3%A9"s, "/a.b/..c/.d/e..f"s, "/?"s, "/?a=b&c[]=d/e?f"s,
          "/api/chat?ts=1755800000"s, "/a;b=c,d"s, "/%ff"s, "/a%25b"s, "/?q=%2e%2f"s, "/?//../.."s,
          "/!$&'()*+,;=:@-._~"s}) {
        t.push_back({"target " + target, get(target), verdict::ok});
    }
    t.push_back({"a long target", get("/" + std::string(8000, 'a')), verdict::ok});
    for (const auto& method :
         {"get"s, "Get"s, "FOO"s, "TRACE"s, "CONNECT"s, "PROPFIND"s, "GETX"s, "M-SEARCH"s}) {
        t.push_back({"D16 " + method, head(method + " / HTTP/1.1", ""), verdict::bad_method});
    }
    for (const auto& method : {"GET"s, "HEAD"s, "POST"s, "PUT"s, "PATCH"s, "DELETE"s, "OPTIONS"s}) {
        t.push_back({"method " + method, head(method + " / HTTP/1.1", ""), verdict::ok});
    }
    t.push_back({"D16 CONNECT a:1", head("CONNECT a:1 HTTP/1.1", ""), verdict::bad_method});
    t.push_back({"D15 OPTIONS *", head("OPTIONS * HTTP/1.1", ""), verdict::bad_request});
}

inline void lines(std::vector<raw_head>& t)
{
    const auto no = verdict::bad_request;
    for (const auto& line : {"GET /"s,
                             "GET / HTTP/0.9"s,
                             "GET / HTTP/1.2"s,
                             "GET / HTTP/2.0"s,
                             "GET / HTTP/1"s,
                             "GET / http/1.1"s,
                             "GET / HTTP/1.1 "s,
                             "GET  / HTTP/1.1"s,
                             "GET /  HTTP/1.1"s,
                             "GET\t/ HTTP/1.1"s,
                             " GET / HTTP/1.1"s,
                             "GET / HTTP/11"s,
                             "GET / HTTP/1.10"s,
                             "GET / XTTP/1.1"s,
                             "GET /\x01 HTTP/1.1"s,
                             "GET / HTTP/1.1\x7f"s,
                             "GET"s,
                             "G{T / HTTP/1.1"s,
                             "/ HTTP/1.1"s,
                             "GET HTTP/1.1"s,
                             "GET / a HTTP/1.1"s,
                             "GET /\0 HTTP/1.1"s,
                             "GET / HTTP/-1.1"s,
                             "\xffGET / HTTP/1.1"s}) {
        t.push_back({"D20 line " + line, head(line, ""), no});
    }
    for (const auto& field :
         {"A : b"s, ": b"s, "A"s, "A b: c"s, "A\x01: b"s, "A: b\x01"s, "A: b\0c"s, "A: b\x7f"s,
          "A(: b"s, "A\xff: b"s, "A: b\rc"s, "A: b\nC: d"s, "A: b\n"s, "A: b\r"s, "@: b"s,
          "\"A\": b"s, "A,B: c"s, "A: \x1b[31m"s}) {
        t.push_back({"D20 field " + field, head("GET / HTTP/1.1", field + "\r\n"), no});
    }
    t.push_back({"D9 obs-fold", head("GET / HTTP/1.1", "A: b\r\n c\r\n"), no});
    t.push_back({"D9 obs-fold by a tab", head("GET / HTTP/1.1", "A: b\r\n\tc\r\n"), no});
    t.push_back({"D9 obs-fold of a length", post("Content-Length:\r\n 5\r\n"), no});
    t.push_back({"D9 obs-fold of a coding", post("Transfer-Encoding:\r\n chunked\r\n"), no});
    t.push_back({"D9 an empty fold", head("GET / HTTP/1.1", "A: b\r\n \r\n"), no});
    t.push_back({"D9 a space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", no});
    t.push_back({"D19 an empty line first", "\r\n" + get("/"), no});
    t.push_back({"D20 bare LF throughout", "GET / HTTP/1.1\nHost: a\n\n", no});
    t.push_back({"D20 bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", no});
    t.push_back({"D20 bare CR throughout", "GET / HTTP/1.1\rHost: a\r\r", no});
    t.push_back({"D22 Connection: @", head("GET / HTTP/1.1", "Connection: @\r\n"), no});
    t.push_back({"bytes behind the head", get("/") + "GET / HTTP/1.1\r\n", no});
    t.push_back({"two heads", get("/") + get("/"), no});
    t.push_back({"half a head", "GET / HTTP/1.1\r\nHost: a\r\n", no});
    t.push_back({"nothing", "", no});
    t.push_back({"an empty line only", "\r\n", no});
    t.push_back({"two empty lines", "\r\n\r\n", no});
    t.push_back({"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"s, no});
    t.push_back({"an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", no});
    const auto yes = verdict::ok;
    t.push_back({"an empty value", head("GET / HTTP/1.1", "A:\r\n"), yes});
    t.push_back({"no space", head("GET / HTTP/1.1", "A:b\r\n"), yes});
    t.push_back({"tabs and spaces about the value", head("GET / HTTP/1.1", "A:\t b \t\r\n"), yes});
    t.push_back({"obs-text", head("GET / HTTP/1.1", "A: caf\xc3\xa9 \xff\r\n"), yes});
    t.push_back(
        {"every token character", head("GET / HTTP/1.1", "!#$%&'*+-.^_`|~09azAZ: b\r\n"), yes});
    t.push_back({"a name twice", head("GET / HTTP/1.1", "A: b\r\nA: c\r\n"), yes});
    t.push_back({"h2c is not spoken",
                 head("GET / HTTP/1.1",
                      "Connection: Upgrade, HTTP2-Settings\r\n"
                      "Upgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"),
                 yes});
    const auto large = verdict::head_too_large;
    std::string many;
    for (int i = 0; i < 99; ++i) {
        many += "A: b\r\n";
    }
    t.push_back({"D14 100 fields", head("GET / HTTP/1.1", many), yes});
    t.push_back({"D14 101 fields", head("GET / HTTP/1.1", many + "A: b\r\n"), large});
    t.push_back({"D14 a field of 30 KB",
                 head("GET / HTTP/1.1", "A: " + std::string(30000, 'a') + "\r\n"), yes});
    t.push_back({"D14 a field of 40 KB",
                 head("GET / HTTP/1.1", "A: " + std::string(40000, 'a') + "\r\n"), large});
    t.push_back({"D11 a field of 70 KB",
                 head("GET / HTTP/1.1", "A: " + std::string(70000, 'a') + "\r\n"), large});
    t.push_back({"D14 a target of 40 KB", get("/" + std::string(40000, 'a')), large});
}

}  // namespace head_rows

inline std::vector<raw_head> head_corpus()
{
    std::vector<raw_head> table;
    head_rows::framing(table);
    head_rows::hosts(table);
    head_rows::targets(table);
    head_rows::lines(table);
    return table;
}
