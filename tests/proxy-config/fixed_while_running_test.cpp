// A configuration that is read again changes what it can, of the upstreams that it names.
#include "proxy-config/fixed_while_running.hpp"

#include "catch.hpp"

using namespace gateway;

namespace {

config::upstream up(const char* name, const char* url, unsigned most)
{
    config::upstream u;
    u.name = name;
    u.url = url;
    u.max_concurrent = most;
    return u;
}

config with(std::vector<config::upstream> upstreams)
{
    config c;
    c.upstreams = std::move(upstreams);
    return c;
}

using notes = std::vector<std::string>;

}  // namespace

TEST_CASE("an upstream's limits are those under its name, wherever it stands in the list")
{
    auto now = with({up("a", "http://a", 1), up("b", "http://b", 8)});
    auto next = with({up("b", "http://b", 4), up("a", "http://a", 2)});
    CHECK(keep_fixed(now, next).empty());
    CHECK(next.upstreams == with({up("a", "http://a", 2), up("b", "http://b", 4)}).upstreams);
}

TEST_CASE("an upstream that the file does not name any more stays as it is until the next start")
{
    auto now = with({up("a", "http://a", 1)});
    auto next = with({up("b", "http://b", 8)});
    CHECK(keep_fixed(now, next) == notes{"the upstream a goes with the next start",
                                         "the upstream b comes with the next start"});
    CHECK(next.upstreams == now.upstreams);
}

TEST_CASE("addresses and the database stay, and that is said")
{
    auto now = with({up("a", "http://a", 1)});
    auto next = with({up("a", "http://elsewhere", 2)});
    next.listen = {"127.0.0.1:1"};
    next.jobs.database = "/var/lib/x.db";
    CHECK(keep_fixed(now, next) == notes{"listen changes with the next start",
                                         "jobs.database changes with the next start",
                                         "the url of the upstream a changes with the next start"});
    CHECK(next.listen == now.listen);
    CHECK(next.jobs.database == now.jobs.database);
    CHECK(next.upstreams == with({up("a", "http://a", 2)}).upstreams);
}
