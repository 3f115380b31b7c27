// What of a head and of who sent it becomes part of a call.
#include "downstream/make_call.hpp"

#include "catch.hpp"

using namespace gateway;

namespace {

call call_of(const identity& who, std::vector<field> fields = {})
{
    request_head head;
    head.method = "POST";
    head.target = head.path = "/api/chat";
    head.fields = std::move(fields);
    call c;
    begin_call(c, head, classify(head.method, head.path), who, std::make_shared<const config>(),
               "id", "");
    return c;
}

}  // namespace

TEST_CASE("a call bears its key's name, which is its client's, and the key's priority")
{
    identity who;
    who.client = who.key = "nightly";
    who.background = true;
    const call c = call_of(who, {{"Authorization", "Bearer canary"}, {"X-Api-Key", "canary"}});
    CHECK(c.client == "nightly");
    CHECK(c.key == "nightly");
    CHECK(c.background);
    CHECK(c.fields.find("canary") == std::string::npos);
}

TEST_CASE("a call without a key bears none, and is in the background when it asks for it")
{
    identity who;
    who.client = "192.0.2.7";
    CHECK(call_of(who).key.empty());
    CHECK_FALSE(call_of(who).background);
    CHECK(call_of(who, {{"X-Gateway-Priority", "Background"}}).background);
    CHECK_FALSE(call_of(who, {{"X-Gateway-Priority", "interactive"}}).background);
}
