// Who a client is: tables of peers, proxies and headers, and bytes that mean nothing.
#include "downstream/identity.hpp"

#include "catch.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <random>

using namespace gateway;

namespace {

request_head head_with(std::vector<field> fields)
{
    request_head head;
    head.fields = std::move(fields);
    return head;
}

std::vector<network> networks(const std::vector<std::string>& texts)
{
    std::vector<network> all;
    for (const auto& text : texts) {
        network n;
        REQUIRE(parse_network(text, n));
        all.push_back(n);
    }
    return all;
}

const std::vector<std::string> loopback{"127.0.0.0/8", "::1/128"};
const std::vector<std::string> headers{"X-OpenWebUI-User-Id", "Cf-Access-Authenticated-User-Email"};

identity from(const std::string& address, std::vector<field> fields,
              const std::vector<std::string>& trusted = loopback)
{
    return identify(head_with(std::move(fields)), {address, false}, networks(trusted), headers);
}

bool holds(const std::string& net, const std::string& address)
{
    network n;
    std::array<std::uint8_t, 16> a{};
    REQUIRE(parse_network(net, n));
    REQUIRE(parse_address(address, a));
    return n.contains(a);
}

}  // namespace

TEST_CASE("a network holds the addresses that begin with its bits")
{
    struct row {
        std::string net, address;
        bool held;
    };
    const std::vector<row> rows{
        {"127.0.0.0/8", "127.255.3.4", true},
        {"127.0.0.0/8", "128.0.0.1", false},
        {"127.9.9.9/8", "127.0.0.1", true},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"192.0.2.4/31", "192.0.2.5", true},
        {"192.0.2.4/31", "192.0.2.6", false},
        {"10.0.0.0/9", "10.127.0.1", true},
        {"10.0.0.0/9", "10.128.0.1", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "203.0.113.9", true},
        {"::1/128", "::1", true},
        {"::1", "::2", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"127.0.0.0/8", "::ffff:127.0.0.1", true},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"fe80::/10", "fe80::1%eth0", true},
    };
    for (const auto& r : rows) {
        INFO(r.net << " " << r.address);
        CHECK(holds(r.net, r.address) == r.held);
    }
}

TEST_CASE("an IPv4 address is one exactly where inet_pton says so")
{
    std::mt19937 random(20261127);
    const std::string_view bytes = "0012259...";
    std::size_t addresses = 0;
    for (int i = 0; i < 200'000; ++i) {
        std::string text(random() % 6, '0');
        for (char& c : text) {
            c = bytes[random() % bytes.size()];
        }
        text = std::to_string(random() % 300) + "." + text + "." + std::to_string(random() % 300);
        std::array<std::uint8_t, 16> ours{};
        std::array<std::uint8_t, 4> systems{};
        const bool is_one = ::inet_pton(AF_INET, text.c_str(), systems.data()) == 1;
        INFO(text);
        REQUIRE(parse_address(text, ours) == is_one);
        REQUIRE((!is_one || std::equal(systems.begin(), systems.end(), ours.begin() + 12)));
        addresses += is_one ? 1 : 0;
    }
    CHECK(addresses > 1000);
}

TEST_CASE("what is no network is not taken for one")
{
    const std::vector<std::string> none{"",
                                        "localhost",
                                        "127.0.0.1/33",
                                        "127.0.0.1/",
                                        "127.0.0.1/-1",
                                        "127.0.0.1/8 ",
                                        " 127.0.0.1",
                                        "127.0.0",
                                        "127.0.0.1.1",
                                        "127.0.0.256",
                                        "127.0.0.01",
                                        "127.0.0.00",
                                        "127.0.0.1.",
                                        ".127.0.0.1",
                                        "127..0.1",
                                        "127.0.0.4294967297",
                                        "::1/129",
                                        "::1/x",
                                        "[::1]",
                                        "1::2::3",
                                        "0x7f.0.0.1",
                                        "127.0.0.1%lo",
                                        "/8",
                                        "127.0.0.1/8/8",
                                        std::string("::1\0x", 5),
                                        std::string(5000, '1'),
                                        "127.0.0.1/+8",
                                        "::ffff:1.2.3.4.5"};
    for (const auto& text : none) {
        INFO(text);
        network n;
        n.bits = 7;
        CHECK_FALSE(parse_network(text, n));
        CHECK(n.bits == 7);
    }
}

TEST_CASE("a client is its peer's address unless a trusted proxy says otherwise")
{
    const field xff{"X-Forwarded-For", "192.0.2.7"};
    const field cf{"CF-Connecting-IP", "192.0.2.8"};
    const field user{"x-openwebui-user-id", "u-17"};
    const field mail{"Cf-Access-Authenticated-User-Email", "ada@lab.org"};

    SECTION("an untrusted peer may say what it likes")
    {
        const auto who = from("203.0.113.9", {xff, cf, user, mail});
        CHECK(who.client == "203.0.113.9");
        CHECK(who.address == "203.0.113.9");
        CHECK_FALSE(who.trusted_peer);
        CHECK_FALSE(who.loopback);
        CHECK(who.tunnelled);
    }
    SECTION("identity headers come first, in the order configured")
    {
        CHECK(from("127.0.0.1", {mail, xff, cf, user}).client == "u-17");
        CHECK(from("127.0.0.1", {xff, cf, mail}).client == "ada@lab.org");
    }
    SECTION("then Cf-Connecting-Ip, then X-Forwarded-For, then the peer")
    {
        CHECK(from("127.0.0.1", {xff, cf}).client == "192.0.2.8");
        CHECK(from("127.0.0.1", {xff}).client == "192.0.2.7");
        CHECK(from("127.0.0.1", {}).client == "127.0.0.1");
    }
    SECTION("a unix socket is trusted, and is a client itself")
    {
        const auto alone = identify(head_with({}), {"", true}, {}, headers);
        CHECK(alone.client == "unix");
        CHECK(alone.address.empty());
        CHECK(alone.trusted_peer);
        CHECK(alone.loopback);
        CHECK(identify(head_with({user}), {"", true}, {}, headers).client == "u-17");
        CHECK(identify(head_with({xff}), {"", true}, {}, headers).client == "192.0.2.7");
    }
    SECTION("a name does not hide an address")
    {
        const auto who = from("127.0.0.1", {xff, user});
        CHECK(who.client == "u-17");
        CHECK(who.address == "192.0.2.7");
    }
}

TEST_CASE("X-Forwarded-For is read from the right, over trusted proxies only")
{
    const std::vector<std::string> trusted{"127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"};
    struct row {
        std::vector<std::string> values;
        std::string client;
    };
    const std::vector<row> rows{
        {{"192.0.2.7"}, "192.0.2.7"},
        {{"6.6.6.6, 192.0.2.7"}, "192.0.2.7"},
        {{"6.6.6.6, 192.0.2.7, 10.1.1.1"}, "192.0.2.7"},
        {{"6.6.6.6,192.0.2.7 ,\t10.1.1.1,10.2.2.2"}, "192.0.2.7"},
        {{"6.6.6.6", "192.0.2.7", "10.1.1.1"}, "192.0.2.7"},
        {{"192.0.2.7:4711"}, "192.0.2.7"},
        {{"[2001:dead::1]:4711"}, "2001:dead::1"},
        {{"[2001:dead::1]"}, "2001:dead::1"},
        {{"2001:DEAD:0:0::1"}, "2001:dead::1"},
        {{"::ffff:192.0.2.7"}, "192.0.2.7"},
        {{"10.3.3.3, 2001:db8::5, 10.1.1.1"}, "10.3.3.3"},  // all trusted: the leftmost
        {{"unknown"}, "127.0.0.1"},
        {{"6.6.6.6, unknown"}, "127.0.0.1"},
        {{"6.6.6.6, _hidden, 10.1.1.1"}, "10.1.1.1"},
        {{"6.6.6.6, "}, "127.0.0.1"},
        {{""}, "127.0.0.1"},
        {{"192.0.2.7:99999"}, "127.0.0.1"},
        {{"[2001:dead::1"}, "127.0.0.1"},
        {{"[2001:dead::1]x"}, "127.0.0.1"},
        {{"[2001:dead::1]:"}, "127.0.0.1"},
    };
    for (const auto& r : rows) {
        std::vector<field> fields;
        std::string shown;
        for (const auto& v : r.values) {
            fields.push_back({"x-forwarded-for", v});
            shown += v + " | ";
        }
        INFO(shown);
        const auto who = from("127.0.0.1", fields, trusted);
        CHECK(who.client == r.client);
        CHECK(who.address == r.client);
    }
}

TEST_CASE("a header value that cannot be a name is passed over")
{
    const field mail{"Cf-Access-Authenticated-User-Email", "ada@lab.org"};
    const auto client = [&](const std::string& user) {
        return from("::1", {{"X-OpenWebUI-User-Id", user}, mail}).client;
    };
    CHECK(client("Grace Hopper") == "Grace Hopper");
    CHECK(client("Łukasz") == "Łukasz");
    CHECK(client(std::string(256, 'a')) == std::string(256, 'a'));
    CHECK(client(std::string(257, 'a')) == "ada@lab.org");
    CHECK(client("") == "ada@lab.org");
    CHECK(client("a\tb") == "ada@lab.org");
    CHECK(client("a\x7f") == "ada@lab.org");
    CHECK(client(std::string("a\0b", 3)) == "ada@lab.org");
    CHECK(from("::1", {{"Cf-Connecting-Ip", "no address"}}).client == "::1");
}

TEST_CASE("an identity that stands twice with two values is nobody's")
{
    const field one{"X-OpenWebUI-User-Id", "u-1"};
    const field two{"X-OpenWebUI-User-Id", "u-2"};
    CHECK(from("::1", {one, two}).client == "::1");
    CHECK(from("::1", {one, one}).client == "u-1");
    CHECK(
        from("::1", {{"Cf-Connecting-Ip", "6.6.6.6"}, {"Cf-Connecting-Ip", "192.0.2.8"}}).client ==
        "::1");
}

TEST_CASE("spellings of one address are one client")
{
    CHECK(from("::ffff:203.0.113.9", {}).client == "203.0.113.9");
    CHECK(from("2001:DB8:0:0:0:0:0:1", {}).client == "2001:db8::1");
    CHECK(from("fe80::1%eth0", {}).client == "fe80::1");
    const auto mapped = from("::ffff:127.0.0.1", {{"X-Forwarded-For", "192.0.2.7"}});
    CHECK(mapped.loopback);
    CHECK(mapped.client == "192.0.2.7");
}

TEST_CASE("forwarding headers mark a tunnel whoever sends them")
{
    for (const auto* name : {"Cf-Ray", "cf-ray", "Forwarded", "X-Forwarded-For",
                             "X-Forwarded-Proto", "x-forwarded-host"}) {
        INFO(name);
        CHECK(from("127.0.0.1", {{"Accept", "*/*"}, {name, "x"}}).tunnelled);
        CHECK(from("203.0.113.9", {{name, "x"}}).tunnelled);
    }
    for (const auto* name : {"X-Forward", "Cf-Connecting-Ip", "X-OpenWebUI-User-Id", "Via"})
        CHECK_FALSE(from("127.0.0.1", {{name, "x"}}).tunnelled);
}

TEST_CASE("models are managed from this machine or by those named for it")
{
    const auto admins = networks({"192.0.2.0/24", "127.0.0.0/8"});
    const auto here = from("127.0.0.1", {});
    const auto tunnel = from("127.0.0.1", {{"Cf-Ray", "1"}});
    const auto tunnelled_admin = from("127.0.0.1", {{"X-Forwarded-For", "192.0.2.7"}});
    const auto far = from("203.0.113.9", {});
    const auto liar = from("203.0.113.9", {{"X-Forwarded-For", "192.0.2.7"}});
    const auto unix_peer = identify(head_with({}), {"", true}, {}, headers);

    for (const auto* who : {&here, &tunnel, &tunnelled_admin, &far, &liar, &unix_peer}) {
        CHECK(may_manage("allow", *who, false, {}));
        CHECK_FALSE(may_manage("deny", *who, true, admins));
        CHECK_FALSE(may_manage("", *who, true, admins));
    }
    CHECK(may_manage("local", here, true, {}));
    CHECK(may_manage("local", unix_peer, true, {}));
    CHECK_FALSE(may_manage("local", here, false, {}));  // `hosts`: strangers come this way too
    CHECK_FALSE(may_manage("local", unix_peer, false, {}));
    CHECK_FALSE(may_manage("local", tunnel, true, {}));
    CHECK_FALSE(may_manage("local", far, true, {}));

    CHECK(may_manage("local", here, false, admins));
    CHECK(may_manage("local", tunnelled_admin, false, admins));
    CHECK_FALSE(may_manage("local", liar, true, admins));
    CHECK_FALSE(may_manage("local", far, true, admins));
    CHECK_FALSE(may_manage("local", tunnel, true, admins));  // who is at its far end is not known
}

TEST_CASE(
    "what a client writes into Cf-Connecting-Ip does not make it an admin behind a proxy that "
    "appends to X-Forwarded-For")
{
    const auto who = from("127.0.0.1", {{"Cf-Connecting-Ip", "192.0.2.7"},
                                        {"X-Forwarded-For", "192.0.2.7, 203.0.113.9"}});
    CHECK(who.address == "203.0.113.9");
    CHECK_FALSE(may_manage("local", who, true, networks({"192.0.2.7"})));
}

TEST_CASE("any bytes in the headers name some client of bounded length")
{
    std::mt19937 random(7);
    const std::string letters = "0123456789abcdef.:,[]%/ x\t\x01\xff";
    for (int round = 0; round < 20000; ++round) {
        std::vector<field> fields;
        for (const auto* name : {"X-Forwarded-For", "Cf-Connecting-Ip", "X-OpenWebUI-User-Id"}) {
            std::string value;
            for (auto n = random() % 40; n > 0; --n)
                value += letters[random() % letters.size()];
            if (random() % 2)
                fields.push_back({name, value});
        }
        const auto who = from(round % 2 ? "127.0.0.1" : "203.0.113.9", fields);
        REQUIRE_FALSE(who.client.empty());
        REQUIRE(who.client.size() <= 256);
        if (round % 2 == 0)
            REQUIRE(who.client == "203.0.113.9");
    }
}
