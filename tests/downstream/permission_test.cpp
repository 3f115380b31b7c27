// Who may do what: each kind of request by each scope, what is open, who manages, who controls.
#include "downstream/permission.hpp"

#include "catch.hpp"
#include "downstream/secret_key.hpp"

#include <array>
#include <map>

using namespace gateway;

namespace {

made_key made(std::uint8_t seed, const std::string& name, scopes may, bool background = false)
{
    std::array<std::uint8_t, key_bytes> bytes{};
    bytes.fill(seed);
    return make_key(bytes, name, may, background);
}

const made_key talks = made(1, "talks", {scope::inference}, true);
const made_key stores = made(2, "stores", {scope::jobs});
const made_key keeps = made(3, "keeps", {scope::management});
const made_key runs = made(4, "runs", {scope::admin});
const made_key stranger =
    made(5, "stranger", {scope::inference, scope::jobs, scope::management, scope::admin});

struct given_rules {
    bool keys = true;
    std::vector<std::string> exempt = {};
    std::string management = "local";
    std::vector<std::string> hosts = {};
    std::vector<std::string> origins = {};
    std::vector<std::string> admins = {};
    bool jobs = false;
};

session_rules rules_for(const given_rules& g)
{
    config c;
    if (g.keys) {
        c.auth.keys_file = "/keys";
        c.auth.keys = {talks.kept, stores.kept, keeps.kept, runs.kept};
    }
    c.auth.exempt = g.exempt;
    c.management = g.management;
    c.hosts = g.hosts;
    c.origins = g.origins;
    if (g.jobs) {
        c.jobs.database = "/jobs";
    }
    session_rules rules;
    rules.hosts = g.hosts;
    rules.hosts.push_back("box");
    for (const auto& a : g.admins) {
        network n;
        REQUIRE(parse_network(a, n));
        rules.admins.push_back(n);
    }
    rules.keys = key_ring(c.auth.keys);
    rules.settings = std::make_shared<const config>(std::move(c));
    return rules;
}

struct asking {
    std::string method = "POST";
    std::string path = "/api/chat";
    const made_key* key = nullptr;
    std::string peer = "127.0.0.1";
    std::vector<field> fields = {};
    std::string host = "localhost";
};

request_head head_of(const asking& a)
{
    request_head head;
    head.method = a.method;
    head.target = head.path = a.path;
    head.fields = a.fields;
    head.fields.push_back({"Host", a.host});
    if (a.key != nullptr) {
        head.fields.push_back({"Authorization", "Bearer " + a.key->text});
    }
    return head;
}

struct answered {
    int status = 200;
    std::string text;
    std::string fields;
    identity who;
};

answered ask(const asking& a, const session_rules& rules, bool operators = false)
{
    const auto head = head_of(a);
    const auto how = classify(head.method, head.path);
    answered got;
    got.who = identify(head, {a.peer == "unix" ? "" : a.peer, a.peer == "unix"}, {}, {});
    const auto no =
        operators ? admit_operator(head, got.who, rules, 0) : admit(head, how, got.who, rules, 0);
    if (no) {
        got.status = http_status(no->why.code, how.words);
        got.text = no->why.message;
        got.fields = no->fields;
    }
    return got;
}

}  // namespace

TEST_CASE("each request needs a key, and the key its scope")
{
    const auto rules = rules_for({});
    struct row {
        std::string method, path;
        // of talks (inference), stores (jobs), keeps (management), runs (admin)
        std::array<int, 4> status;
    };
    const std::array<int, 4> all{200, 200, 200, 200};
    const std::array<int, 4> inference{200, 403, 403, 403};
    const std::array<int, 4> jobs{403, 200, 403, 403};
    const std::array<int, 4> management{403, 403, 200, 403};
    for (const row& r : std::vector<row>{{"POST", "/api/generate", inference},
                                         {"POST", "/api/chat", inference},
                                         {"POST", "/api/embed", inference},
                                         {"POST", "/v1/chat/completions", inference},
                                         {"POST", "/v1/messages", inference},
                                         {"POST", "/v1/audio/transcriptions", inference},
                                         {"GET", "/", all},
                                         {"HEAD", "/", all},
                                         {"GET", "/api/tags", all},
                                         {"GET", "/v1/models/m", all},
                                         {"POST", "/api/show", all},
                                         {"OPTIONS", "/api/chat", all},
                                         {"GET", "/api/chat", all},
                                         {"POST", "/v1/images/generations", inference},
                                         {"PUT", "/nowhere", inference},
                                         {"DELETE", "/api/tags", inference},
                                         {"GET", "/gateway/queue", all},
                                         {"POST", "/gateway/calls/x/cancel", all},
                                         {"GET", "/gateway/jobs", jobs},
                                         {"POST", "/gateway/jobs", jobs},
                                         {"DELETE", "/gateway/jobs/x", jobs},
                                         {"GET", "/gateway/jobs/x/events", jobs},
                                         {"GET", "/gateway/jobsx", all},
                                         {"POST", "/api/pull", management},
                                         {"DELETE", "/api/delete", management},
                                         {"HEAD", "/api/blobs/sha256:x", management},
                                         {"POST", "/api/me", management},
                                         {"GET", "/api/experimental/x", management}}) {
        CAPTURE(r.method, r.path);
        const std::array keys{&talks, &stores, &keeps, &runs};
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const auto got = ask({r.method, r.path, keys[i]}, rules);
            CAPTURE(keys[i]->kept.name, got.text);
            CHECK(got.status == r.status[i]);
            CHECK(got.who.client == keys[i]->kept.name);
            if (got.status == 403) {
                CHECK(got.fields.find("error=\"insufficient_scope\"") != std::string::npos);
                CHECK(got.text.find("auth.keys_file") != std::string::npos);
            }
        }
        const auto none = ask({r.method, r.path}, rules);
        CHECK(none.status == 401);
        CHECK(none.fields == "WWW-Authenticate: Bearer realm=\"ollama-gateway\"\r\n");
        CHECK(none.text.find("a key is required") == 0);
        const auto wrong = ask({r.method, r.path, &stranger}, rules);
        CHECK(wrong.status == 401);
        CHECK(wrong.fields ==
              "WWW-Authenticate: Bearer realm=\"ollama-gateway\", error=\"invalid_token\"\r\n");
        CHECK(wrong.text.find("auth.keys_file") != std::string::npos);
        CHECK(wrong.who.client == "127.0.0.1");
        CHECK(wrong.who.key.empty());
        // Without a keys file a key is of no interest.
        const auto open = rules_for({.keys = false});
        CHECK(ask({r.method, r.path, &stranger}, open).status == 200);
        CHECK(ask({r.method, r.path}, open).who.key.empty());
    }
}

TEST_CASE("a verified key is the client, whatever a proxy says, and brings its priority")
{
    const auto rules = rules_for({});
    auto got = ask({.key = &talks, .fields = {{"X-Forwarded-For", "192.0.2.7"}}}, rules);
    CHECK(got.who.client == "talks");
    CHECK(got.who.key == "talks");
    CHECK(got.who.may == scopes{scope::inference});
    CHECK(got.who.background);
    CHECK(got.who.tunnelled);
    got = ask({.path = "/gateway/jobs", .key = &stores}, rules);
    CHECK(got.who.key == "stores");
    CHECK_FALSE(got.who.background);
}

TEST_CASE("who asks for a job asks for the scope of jobs, once there are jobs")
{
    const std::vector<field> prefer{{"Prefer", "wait=10, Respond-Async"}};
    for (const bool jobs : {false, true}) {
        const auto rules = rules_for({.jobs = jobs});
        CHECK(ask({.key = &stores, .fields = prefer}, rules).status == (jobs ? 200 : 403));
        CHECK(ask({.key = &talks, .fields = prefer}, rules).status == (jobs ? 403 : 200));
        CHECK(ask({.key = &talks}, rules).status == 200);
        CHECK(
            ask({.key = &talks, .fields = {{"Prefer", "respond-asynchronously"}}}, rules).status ==
            200);
        CHECK(
            ask({.path = "/api/tags", .key = &talks, .fields = prefer, .host = "localhost"}, rules)
                .status == 200);
    }
}

TEST_CASE("what is exempt needs no key, and is told from what is not")
{
    struct row {
        std::vector<std::string> exempt = {};
        std::string method, path;
        bool open;
    };
    for (const row& r : std::vector<row>{{{"/"}, "GET", "/", true},
                                         {{"/"}, "HEAD", "/", true},
                                         {{"/"}, "GET", "/api/tags", false},
                                         {{"/api/tags"}, "GET", "/api/tags", true},
                                         {{"/api/tags"}, "GET", "/api/tagsx", false},
                                         {{"/api/tags"}, "GET", "/api/tags/", false},
                                         {{"/api/tags"}, "GET", "/API/tags", false},
                                         {{"/v1/*"}, "POST", "/v1/messages", true},
                                         {{"/v1/*"}, "GET", "/v1/models/a/b", true},
                                         {{"/v1/*"}, "GET", "/v1", false},
                                         {{"/v1/*"}, "GET", "/v10/models", false},
                                         {{"/*"}, "POST", "/api/chat", true},
                                         {{"information"}, "GET", "/api/tags", true},
                                         {{"information"}, "GET", "/nowhere", true},
                                         {{"information"}, "POST", "/api/show", true},
                                         {{"information"}, "POST", "/nowhere", false},
                                         {{"information"}, "POST", "/api/chat", false},
                                         {{"information"}, "GET", "/gateway/queue", false},
                                         {{"information"}, "HEAD", "/api/blobs/sha256:x", false},
                                         {{"generation"}, "POST", "/v1/responses", true},
                                         {{"generation"}, "POST", "/api/embed", false},
                                         {{"embedding"}, "POST", "/v1/embeddings", true},
                                         {{"generation", "embedding"}, "POST", "/api/embed", true},
                                         {{"/gateway/*"}, "GET", "/gateway/queue", true}}) {
        CAPTURE(r.exempt, r.method, r.path);
        const auto rules = rules_for({.exempt = r.exempt});
        CHECK((ask({r.method, r.path}, rules).status == 200) == r.open);
        // A key that would not do elsewhere does no harm where none is needed.
        CHECK((ask({r.method, r.path, &stranger}, rules).status == 200) == r.open);
        if (r.open) {
            const auto got = ask({r.method, r.path, &runs}, rules);
            CHECK(got.status == 200);
            CHECK(got.who.client == "runs");
        }
    }
}

TEST_CASE(
    "models are managed with a key of that scope, or as the policy says where no key is needed")
{
    const std::string pull = "/api/pull";
    const std::vector<field> tunnel{{"Cf-Ray", "1"}};
    // With keys: the scope decides, wherever it comes from.
    for (const char* peer : {"127.0.0.1", "203.0.113.9", "unix"}) {
        CAPTURE(peer);
        for (const char* policy : {"local", "allow"}) {
            const auto rules = rules_for({.management = policy, .hosts = {"a.example"}});
            CHECK(ask({"POST", pull, &keeps, peer, tunnel}, rules).status == 200);
            CHECK(ask({"POST", pull, &talks, peer}, rules).status == 403);
            CHECK(ask({"POST", pull, nullptr, peer}, rules).status == 401);
        }
        const auto deny = rules_for({.management = "deny"});
        CHECK(ask({"POST", pull, &keeps, peer}, deny).status == 403);
        CHECK(ask({"POST", pull, &keeps, peer}, deny).text.find("`management` is \"deny\"") == 0);
    }
    // Exempt: as without keys, and a key of the scope helps from afar.
    const auto exempt = rules_for({.exempt = {"management"}});
    CHECK(ask({"POST", pull}, exempt).status == 200);
    CHECK(ask({"POST", pull, &talks}, exempt).status == 200);
    CHECK(ask({"POST", pull, nullptr, "203.0.113.9"}, exempt).status == 403);
    CHECK(ask({"POST", pull, &talks, "203.0.113.9"}, exempt).status == 403);
    CHECK(ask({"POST", pull, &keeps, "203.0.113.9"}, exempt).status == 200);
    // Without keys.
    const auto open = rules_for({.keys = false});
    CHECK(ask({"POST", pull}, open).status == 200);
    CHECK(ask({"POST", pull, nullptr, "unix", {}, "whatever"}, open).status == 200);
    CHECK(ask({"POST", pull, nullptr, "127.0.0.1", tunnel}, open).status == 403);
    CHECK(ask({"POST", pull, nullptr, "203.0.113.9"}, open).status == 403);
    CHECK(ask({"POST", pull, &keeps, "203.0.113.9"}, open).status == 403);  // it is not asked for
    const auto admins = rules_for({.keys = false, .admins = {"203.0.113.0/24"}});
    CHECK(ask({"POST", pull, nullptr, "203.0.113.9"}, admins).status == 200);
}

TEST_CASE("a page whose name was made to lead to this machine does not manage its models")
{
    // On a listener for every address the Host is not checked; a browser here is a loopback peer.
    const auto rules = rules_for({.keys = false});
    for (const auto& [host, status] : std::map<std::string, int>{{"localhost:11435", 200},
                                                                 {"127.0.0.1:11435", 200},
                                                                 {"box:11435", 200},
                                                                 {"evil.example", 403},
                                                                 {"evil.example:11435", 403}}) {
        CAPTURE(host);
        CHECK(ask({"POST", "/api/pull", nullptr, "127.0.0.1", {}, host}, rules).status == status);
        CHECK(ask({"POST", "/drain", nullptr, "127.0.0.1", {}, host}, rules, true).status ==
              status);
    }
}

TEST_CASE("on the admin port whoever reaches it reads, and who changes is here or has a key for it")
{
    struct row {
        asking a;
        int with_keys, without;
    };
    const std::vector<field> tunnel{{"X-Forwarded-For", "192.0.2.1"}};
    const std::string far = "203.0.113.9";
    for (const row& r :
         std::vector<row>{{{"GET", "/status", nullptr, far}, 200, 200},
                          {{"HEAD", "/metrics", nullptr, far, tunnel}, 200, 200},
                          {{"GET", "/gateway/jobs", &stranger, far}, 200, 200},
                          {{"POST", "/reload"}, 200, 200},
                          {{"POST", "/reload", &talks}, 200, 200},
                          {{"POST", "/reload", nullptr, "::1"}, 200, 200},
                          {{"POST", "/reload", nullptr, "unix", {}, "anything"}, 200, 200},
                          {{"POST", "/reload", nullptr, "127.0.0.1", tunnel}, 401, 403},
                          {{"POST", "/reload", &runs, "127.0.0.1", tunnel}, 200, 403},
                          {{"POST", "/reload", nullptr, far}, 401, 403},
                          {{"POST", "/reload", &stranger, far}, 401, 403},
                          {{"POST", "/reload", &talks, far}, 403, 403},
                          {{"POST", "/reload", &keeps, far}, 403, 403},
                          {{"POST", "/reload", &runs, far}, 200, 403},
                          {{"POST", "/gateway/calls/x/cancel", nullptr, far}, 401, 403},
                          {{"DELETE", "/gateway/jobs/x", nullptr, far}, 401, 403},
                          {{"OPTIONS", "/drain", nullptr, far}, 401, 403},
                          {{"PUT", "/nowhere", nullptr, far}, 401, 403}}) {
        CAPTURE(r.a.method, r.a.path, r.a.peer, r.a.key != nullptr ? r.a.key->kept.name : "");
        CHECK(ask(r.a, rules_for({}), true).status == r.with_keys);
        const auto got = ask(r.a, rules_for({.keys = false}), true);
        CHECK(got.status == r.without);
        if (got.status == 403) {
            CHECK(got.text.find("auth.keys_file") != std::string::npos);
        }
    }
}

TEST_CASE("what changes something on the admin port comes from a local or a listed Origin")
{
    const given_rules given{.hosts = {"ops.lab.example"}, .origins = {"https://dash.lab.example"}};
    struct row {
        std::string origin, host;
        int status;
    };
    for (const row& r : std::vector<row>{
             {"http://localhost:9435", "localhost:9435", 200},
             {"http://127.0.0.1:9435", "127.0.0.1:9435", 200},
             {"https://dash.lab.example", "127.0.0.1:9435", 200},
             {"http://192.168.1.5:9435", "192.168.1.5:9435", 200},
             {"http://ops.lab.example:9435", "ops.lab.example:9435", 200},
             {"http://evil.example", "localhost:9435", 403},
             {"http://evil.example", "evil.example", 403},  // the same origin, and none of ours
             {"https://dash.lab.example.evil.example", "localhost", 403},
             {"null", "localhost", 403}}) {
        CAPTURE(r.origin, r.host);
        for (const made_key* key : {static_cast<const made_key*>(nullptr), &runs}) {
            const auto got =
                ask({"POST", "/drain", key, "127.0.0.1", {{"Origin", r.origin}}, r.host},
                    rules_for(given), true);
            CHECK(got.status == r.status);
            if (r.status == 403) {
                CHECK(got.text.find("`origins`") != std::string::npos);
            }
        }
        CHECK(ask({"GET", "/status", nullptr, "127.0.0.1", {{"Origin", r.origin}}, r.host},
                  rules_for(given), true)
                  .status == 200);
    }
}

TEST_CASE("the gateway is open to all without a keys file, or when what generates is exempt")
{
    const auto open = [](const given_rules& g) { return open_to_all(*rules_for(g).settings); };
    CHECK(open({.keys = false}));
    CHECK_FALSE(open({}));
    CHECK_FALSE(open({.exempt = {"information", "/", "/api/version", "management"}}));
    CHECK(open({.exempt = {"generation"}}));
    CHECK(open({.exempt = {"embedding"}}));
    CHECK(open({.exempt = {"/v1/*"}}));
    CHECK(open({.exempt = {"/api/chat"}}));
    CHECK(open({.exempt = {"/*"}}));
}
