// What a file may say, and how mistakes in it are told.
#include "proxy-config/given.hpp"

#include <random>

using namespace gateway;
using namespace std::chrono_literals;
using given::mistakes_in;

TEST_CASE("nothing at all is the default configuration")
{
    for (const char* nothing : {"", "  \n", "{}", "// only a comment\n{ /* and one more */ }"}) {
        CAPTURE(nothing);
        const auto parsed = parse_config(nothing, {});
        CHECK(given::told(parsed.mistakes).empty());
        REQUIRE(parsed.value.upstreams.size() == 1);
        CHECK(parsed.value.upstreams[0].name == "local");
        CHECK(parsed.value.upstreams[0].url == "http://127.0.0.1:11434");
        CHECK(parsed.value.listen == std::vector<std::string>{"127.0.0.1:11435"});
        CHECK(parsed.value.queue.message.at("en") ==
              "You are number {position} in the queue ({seconds}s)");
        CHECK(parsed.value.timeouts.first_byte == 300s);
    }
}

TEST_CASE("every key of the file sets its value")
{
    const auto parsed = parse_config(R"({
        "listen": ["127.0.0.2:1", "unix:/s"], "hosts": ["a.b"], "origins": ["https://c.d", "app://*"],
        "admin": {"listen": ":2"},
        "upstreams": [{"name": "n", "url": "https://e/f", "max_concurrent": 7,
            "max_concurrent_embeddings": 8}],
        "queue": {"max_waiting": 1, "max_waiting_per_client": 2, "max_wait": "3s", "hold_upstream": "4s",
            "grace": "5ms", "commit_whole": "6s", "status_interval": "7s", "heartbeat": "8s",
            "message": {"DE": "{position}", "pt-BR": "x {seconds} y"}},
        "timeouts": {"connect": "1s", "first_byte": "2s", "idle": "3s", "whole": "4s", "total": "0s"},
        "unload": {"on_timeout": false, "verify_within": "9s", "retries": 1},
        "reconcile": {"interval": "11s", "timeout": "12s"},
        "models": {"M": {"max_concurrent": 3, "timeouts": {"idle": "0s", "total": "5s"}}},
        "clients": {"trusted_proxies": [], "admins": ["10.0.0.0/8"], "identity_headers": ["X-Who"]},
        "management": "deny",
        "limits": {"header_bytes": "1KiB", "header_fields": 11, "body": 2000000, "connections": 99,
            "client_buffer": "5KiB", "memory": "6MiB", "header_timeout": "7s", "body_rate": "8",
            "client_keepalive": "9s"},
        "log": {"level": "debug", "format": "json"}, "drain": "1h" })",
                                     {});
    REQUIRE(given::told(parsed.mistakes).empty());
    const config& c = parsed.value;
    CHECK(c.listen == std::vector<std::string>{"127.0.0.2:1", "unix:/s"});
    CHECK(c.hosts == std::vector<std::string>{"a.b"});
    CHECK(c.origins == std::vector<std::string>{"https://c.d", "app://*"});
    CHECK(c.admin_listen == ":2");
    CHECK(c.upstreams == std::vector<config::upstream>{{"n", "https://e/f", 7, 8, {}}});
    CHECK(c.queue == config::queue_settings{1,
                                            2,
                                            3s,
                                            4s,
                                            5ms,
                                            6s,
                                            7s,
                                            8s,
                                            {{"de", "{position}"},
                                             {"en", config{}.queue.message.at("en")},
                                             {"pt-br", "x {seconds} y"}}});
    CHECK(c.timeouts == config::timeout_settings{1s, 15min, 2s, 3s, 4s, 0s});
    CHECK(c.unload == config::unload_settings{false, 9s, 1, {}});
    CHECK(c.reconcile == config::reconcile_settings{11s, 12s});
    REQUIRE(c.models.size() == 1);
    CHECK(c.models.at("M").max_concurrent == 3);
    CHECK(c.models.at("M").timeouts == config::timeout_overrides{{}, {}, {}, 0ms, {}, 5s});
    CHECK(c.clients == config::client_settings{{}, {"10.0.0.0/8"}, {"X-Who"}});
    CHECK(c.management == "deny");
    CHECK(c.limits == config::limit_settings{1024, 11, 2'000'000, 99, 5120, 6u << 20, 7s, 8, 9s});
    CHECK(c.log == config::log_settings{"debug", "json"});
    CHECK(c.drain == 1h);
}

TEST_CASE("the effective configuration reads back as the same")
{
    std::vector<std::string> texts = given::examples();
    texts.push_back("");
    texts.push_back(R"({"queue":{"message":{"fr":"é \"{position}\""}},"limits":{"body":1000001}})");
    for (const std::string& text : texts) {
        const auto first = parse_config(text, {});
        INFO(text);
        REQUIRE(given::told(first.mistakes).empty());
        const std::string shown = to_json(first.value);
        INFO(shown);
        const auto again = parse_config(shown, {});
        CHECK(given::told(again.mistakes).empty());
        CHECK(again.value == first.value);
        CHECK(to_json(again.value) == shown);
    }
}

TEST_CASE("the effective configuration is written for people")
{
    const std::string shown = to_json(parse_config("", {}).value);
    CHECK(shown.find("\"drain\": \"5m\"") != std::string::npos);
    CHECK(shown.find("\"client_keepalive\": \"130s\"") != std::string::npos);
    CHECK(shown.find("\"body\": \"64MiB\"") != std::string::npos);
    CHECK(shown.find("\"listen\": \"127.0.0.1:11435\"") != std::string::npos);
    CHECK(shown.find("\"load\": \"15m\"") != std::string::npos);
}

TEST_CASE("a mistake is told with its place and what would be right")
{
    struct row {
        const char* json;
        const char* place;
        const char* words;
    };
    for (
        const row& r : std::vector<row>{
            {R"({"quue": {}})", "quue", "did you mean \"queue\"?"},
            {R"({"queue": {"max_wating": 1}})", "queue.max_wating",
             "did you mean \"max_waiting\"?"},
            {R"({"max_waiting": 1})", "max_waiting", "did you mean \"queue.max_waiting\"?"},
            {R"({"colour": 1})", "colour", "unknown key"},
            {R"({"models": {"a b": {}}})", "models[\"a b\"]", "model's name"},
            {R"({"models": {"qwen2.5:14b": {"timeout": {}}}})", "models[\"qwen2.5:14b\"].timeout",
             "did you mean \"timeouts\"?"},
            {R"({"models": {"m": {}, "M:latest": {}}})", "models.m",
             "is the same model as \"M:latest\""},
            {R"({"models": {"m": 1}})", "models.m", "must be an object"},
            {R"({"queue": []})", "queue", "must be an object"},
            {R"({"queue": {"max_waiting": "7"}})", "queue.max_waiting",
             "whole number from 0 to 1000000"},
            {R"({"queue": {"max_waiting": -1}})", "queue.max_waiting", "whole number"},
            {R"({"queue": {"max_waiting": 1.5}})", "queue.max_waiting", "not 1.5"},
            {R"({"queue": {"max_waiting": 1000001}})", "queue.max_waiting", "not 1000001"},
            {R"({"queue": {"max_wait": 300}})", "queue.max_wait", "write \"300s\" or \"300ms\""},
            {R"({"queue": {"max_wait": "300"}})", "queue.max_wait", "write \"300s\""},
            {R"({"queue": {"max_wait": "5 min"}})", "queue.max_wait", "not \"5 min\""},
            {R"({"queue": {"max_wait": null}})", "queue.max_wait", "must be a duration"},
            {R"({"queue": {"max_wait": "366d"}})", "queue.max_wait", "at most 365d"},
            {R"({"queue": {"status_interval": "0s"}})", "queue.status_interval",
             "at least 100ms, not"},
            {R"({"queue": {"heartbeat": "1ms"}})", "queue.heartbeat", "or 0s for none"},
            {R"({"queue": {"message": {"english": "x"}}})", "queue.message.english",
             "language tag"},
            {R"({"queue": {"message": {"en": "{place}"}}})", "queue.message.en", "{position}"},
            {R"({"queue": {"message": {"en": "a } b"}}})", "queue.message.en", "braces"},
            {R"({"queue": {"message": {"en": "{position"}}})", "queue.message.en", "braces"},
            {R"({"queue": {"message": {"en": ""}}})", "queue.message.en", "one line"},
            {R"({"queue": {"message": {"en": "a\nb"}}})", "queue.message.en", "one line"},
            {R"({"queue": {"message": {"en": 1}}})", "queue.message.en", "text in quotes"},
            {R"({"limits": {"body": "64Mb"}})", "limits.body", "\"64MiB\""},
            {R"({"limits": {"body": -1}})", "limits.body", "size"},
            {R"({"limits": {"body": 1}})", "limits.body", "from 1KiB to 64GiB"},
            {R"({"limits": {"body": "2GiB"}})", "limits.body", "more than limits.memory (1GiB)"},
            {R"({"limits": {"memory": "1MiB", "body": "1MiB"}})", "limits.client_buffer",
             "more than limits.memory"},
            {R"({"upstreams": []})", "upstreams", "at least one"},
            {R"({"upstreams": {"url": "http://a"}})", "upstreams", "must be a list"},
            {R"({"upstreams": [{}]})", "upstreams[0].url", "is missing"},
            {R"({"upstreams": ["http://a"]})", "upstreams[0]", "must be an object"},
            {R"({"upstreams": [{"url": "gpu:11434"}]})", "upstreams[0].url", "http://"},
            {R"({"upstreams": [{"url": "http://a", "name": "a b"}]})", "upstreams[0].name",
             "letters"},
            {R"({"upstreams": [{"url": "http://a", "max_concurrent": 0}]})",
             "upstreams[0].max_concurrent", "from 1"},
            {R"({"upstreams": [{"url": "http://127.0.0.1:11435"}]})", "upstreams[0].url",
             "this gateway itself (listen)"},
            {R"({"upstreams": [{"url": "http://localhost:9435"}]})", "upstreams[0].url",
             "this gateway itself (admin.listen)"},
            {R"({"upstreams": [{"url": "http://a", "name": "x"}, {"url": "http://b", "name": "X"}]})",
             "upstreams[1].name", "same as upstreams[0].name"},
            {R"({"upstreams": [{"url": "http://a"}, {"url": "http://A:80/"}]})", "upstreams[1].url",
             "same as upstreams[0].url"},
            {R"({"listen": "127.0.0.1"})", "listen", "port"},
            {R"({"listen": []})", "listen", "at least one"},
            {R"({"listen": ["127.0.0.1:1", "x"]})", "listen[1]", "port"},
            {R"({"listen": [":1", "127.0.0.1:1"]})", "listen[1]", "same address as listen[0]"},
            {R"({"listen": ":9435"})", "admin.listen", "same address as listen (:9435)"},
            {R"({"admin": {"listen": ["127.0.0.1:1"]}})", "admin.listen", "text in quotes"},
            {R"({"hosts": ["http://a"]})", "hosts[0]", "without scheme"},
            {R"({"hosts": "a"})", "hosts", "must be a list"},
            {R"({"origins": ["a.b"]})", "origins[0]", "https://"},
            {R"({"origins": ["https://a/"]})", "origins[0]", "without a path"},
            {R"({"clients": {"trusted_proxies": ["10.0.0.0/33"]}})", "clients.trusted_proxies[0]",
             "10.0.0.0/8"},
            {R"({"clients": {"admins": ["me"]}})", "clients.admins[0]", "IP address"},
            {R"({"clients": {"identity_headers": ["X Who"]}})", "clients.identity_headers[0]",
             "header field"},
            {R"({"management": "all"})", "management", R"("allow", "local" or "deny")"},
            {R"({"log": {"level": "loud"}})", "log.level", "\"warn\" or \"error\", not \"loud\""},
            {R"({"log": {"format": 1}})", "log.format", "\"text\" or \"json\""},
            {R"({"unload": {"on_timeout": "yes"}})", "unload.on_timeout", "true or false"},
            {R"({"drain": "1s", "drain": "2s"})", "drain", "stands twice"},
            {R"({"queue": {}, "log": {"level": "info", "level": "info"}})", "log.level",
             "stands twice"},
            {R"({"queue": {"max_waiting": 1,}})", "line 1, column 29", "comma too many"},
            {"{\n  \"a\": tru\n}", "line 2, column 11", "invalid literal"},
            {"{", "line 1, column 2", "unexpected end of input"},
            {"[]", "line 1, column 1", "one object"},
            {"{\"drain\": \"\xFF\"}", "line 1, column 12", "UTF-8"},
        }) {
        CAPTURE(r.json);
        const auto parsed = parse_config(r.json, {});
        const std::string told = given::told(parsed.mistakes);
        CAPTURE(told);
        CHECK(std::any_of(
            parsed.mistakes.begin(), parsed.mistakes.end(), [&](const config_mistake& m) {
                return m.place == r.place && m.text.find(r.words) != std::string::npos;
            }));
    }
}

TEST_CASE("all mistakes of a file are told at once, and none that follows from another")
{
    CHECK(
        mistakes_in(R"({"queue": {"max_wait": 1, "grace": "x"}, "management": 7, "lock": 1,
                          "upstreams": [{"url": "nonsense"}], "listen": "x"})") ==
        "listen: must end in a port: \"127.0.0.1:11435\", \"[::1]:11435\", \":11435\", or be "
        "\"unix:/path\", not \"x\"\n"
        "upstreams[0].url: must begin with http:// or https://: \"http://127.0.0.1:11434\", not "
        "\"nonsense\"\n"
        "queue.max_wait: a duration has a unit: write \"1s\" or \"1ms\", not 1\n"
        "queue.grace: must be a duration such as \"300s\", \"5m\", \"250ms\" or \"2h30m\" (d h m s "
        "ms), not \"x\"\n"
        "management: must be \"allow\", \"local\" or \"deny\", not 7\n"
        "lock: unknown key; did you mean \"log\"?\n");
}

TEST_CASE("a password in a URL is refused and not repeated")
{
    const std::string told = mistakes_in(R"({"upstreams": [{"url": "http://me:secret@gpu"}]})");
    CHECK(told.find("must not hold a user or a password") != std::string::npos);
    CHECK(told.find("secret") == std::string::npos);
}

TEST_CASE("a file nested without end is refused")
{
    std::string deep = "{\"queue\": ";
    for (int i = 0; i < 100'000; ++i) {
        deep += i % 2 ? "[" : "{\"x\":";
    }
    CHECK(mistakes_in(deep) == "queue: is nested deeper than anything here\n");
}

TEST_CASE("several upstreams, each with its VRAM, and what a model falls back to")
{
    const auto parsed = parse_config(R"({
        "upstreams": [{"name": "a", "url": "http://a", "vram": "24GiB"}, {"name": "b", "url": "http://b"}],
        "timeouts": {"load": "2m"}, "unload": {"stuck_file": "/run/stuck"},
        "models": {"M": {"fallbacks": ["n", "o:7b"], "timeouts": {"load": "1m"}, "keep_alive": -1,
                         "pin_options": true, "reuse_larger_context": false}}})",
                                     {});
    REQUIRE(given::told(parsed.mistakes).empty());
    const config& c = parsed.value;
    CHECK(c.upstreams.size() == 2);
    CHECK(c.upstreams[0].vram == 24ull << 30);
    CHECK_FALSE(c.upstreams[1].vram.has_value());
    CHECK(timeouts_for(c, "m:latest").load == 1min);
    CHECK(timeouts_for(c, "other").load == 2min);
    const auto* m = settings_for(c, "library/m");
    REQUIRE(m != nullptr);
    CHECK(m->fallbacks == std::vector<std::string>{"n", "o:7b"});
    CHECK(m->keep_alive == "-1");
    CHECK((m->pin_options && !m->reuse_larger_context));
    CHECK(settings_for(c, "other") == nullptr);
    std::string many = R"({"upstreams": [)";
    for (int n = 0; n < 65; ++n) {
        many +=
            (n == 0 ? "" : ",") + std::string(R"({"url": "http://h)") + std::to_string(n) + "\"}";
    }
    CHECK(mistakes_in(many + "]}") == "upstreams: at most 64 can be named\n");
}

TEST_CASE("a model's own timeouts hold for it under every spelling of its name")
{
    const config c =
        parse_config(
            R"({"timeouts": {"idle": "7s"}, "models": {"Qwen": {"timeouts": {"first_byte": "60s"}}}})",
            {})
            .value;
    for (const char* name : {"qwen", "qwen:latest", "registry.ollama.ai/library/QWEN"}) {
        CHECK(timeouts_for(c, name).first_byte == 60s);
        CHECK(timeouts_for(c, name).idle == 7s);
    }
    CHECK(timeouts_for(c, "qwen:7b") == c.timeouts);
}

TEST_CASE("whatever bytes stand in the file, the answer is a configuration or mistakes")
{
    const std::vector<std::string> texts = given::examples();
    const std::vector<std::string> scraps{"\"",     "{",  "}",       "[",    "]",
                                          ",",      ":",  "null",    "-1",   "1e999",
                                          "//",     "/*", "\\u0000", "\xFF", std::string(1, '\0'),
                                          "\"0s\"", "\n"};
    std::mt19937 random(11);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    int accepted = 0;
    for (int round = 0; round < 4000; ++round) {
        std::string text = texts[below(texts.size())];
        for (std::size_t changes = below(4); changes-- > 0;) {
            const std::size_t at = below(text.size());
            switch (below(4)) {
                case 0: text[at] = static_cast<char>(random()); break;
                case 1: text.erase(at, 1 + below(20)); break;
                case 2: text.insert(at, scraps[below(scraps.size())]); break;
                default: text.insert(at, text.substr(below(text.size()), below(60))); break;
            }
        }
        parsed_config parsed;
        REQUIRE_NOTHROW(parsed = parse_config(text, {}));
        REQUIRE_NOTHROW(to_json(parsed.value));
        for (const config_mistake& m : parsed.mistakes) {
            REQUIRE_FALSE(m.place.empty());
            REQUIRE_FALSE(m.text.empty());
        }
        if (parsed.mistakes.empty()) {
            ++accepted;
            REQUIRE_FALSE(parsed.value.upstreams.empty());
            REQUIRE(parse_config(to_json(parsed.value), {}).value == parsed.value);
        }
    }
    CHECK(accepted > 400);  // the unchanged ones at least; else this tests only the JSON parser
}

TEST_CASE("jobs are off without a database, and on with one")
{
    CHECK_FALSE(parse_config("", {}).value.jobs.database);
    const config c = parse_config(R"({"jobs": {"database": "/var/lib/jobs.db", "retention": "2d",
                                               "max_attempts": 5, "max_concurrent": 7}})",
                                  {})
                         .value;
    CHECK(c.jobs.database == "/var/lib/jobs.db");
    CHECK(c.jobs.retention == std::chrono::hours(48));
    CHECK(c.jobs.max_attempts == 5);
    CHECK(c.jobs.max_concurrent == 7);
    CHECK(mistakes_in(R"({"jobs": {"max_attempts": 0}})") ==
          "jobs.max_attempts: must be a whole number from 1 to 100, not 0\n");
}
