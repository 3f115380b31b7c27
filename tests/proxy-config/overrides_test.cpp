// Flags and environment variables over the file.
#include "proxy-config/given.hpp"
#include "proxy-config/settings.hpp"

#include <set>

using namespace gateway;
using namespace std::chrono_literals;
using given::mistakes_in;

namespace {

config with(std::string_view json, const std::vector<config_override>& overrides)
{
    const auto parsed = parse_config(json, overrides);
    REQUIRE(given::told(parsed.mistakes).empty());
    return parsed.value;
}

}  // namespace

TEST_CASE("the last override of a path wins over the file and over earlier ones")
{
    const config c =
        with(R"({"queue": {"max_waiting": 1}})", {{"queue.max_waiting", "2", "VARIABLE"},
                                                  {"queue.max_waiting", " 3 ", "--flag"},
                                                  {"log.level", "debug", "--log-level"}});
    CHECK(c.queue.max_waiting == 3);
    CHECK(c.log.level == "debug");
}

TEST_CASE("an override is text of the kind its key wants")
{
    const config c = with("", {{"listen", "127.0.0.1:1, [::1]:1", "V"},
                               {"clients.trusted_proxies", "", "V"},
                               {"unload.on_timeout", "false", "V"},
                               {"queue.grace", "2s", "V"},
                               {"limits.body", "2000000", "V"},
                               {"limits.memory", "2GiB", "V"},
                               {"jobs.database", "", "V"},
                               {"admin.listen", "127.0.0.1:2", "V"}});
    CHECK(c.listen == std::vector<std::string>{"127.0.0.1:1", "[::1]:1"});
    CHECK(c.clients.trusted_proxies.empty());
    CHECK_FALSE(c.unload.on_timeout);
    CHECK(c.queue.grace == 2s);
    CHECK(c.limits.body == 2'000'000);
    CHECK(c.limits.memory == 2ull << 30);
    CHECK(c.admin_listen == "127.0.0.1:2");
}

TEST_CASE("a mistake in an override is told at the flag or variable it came from")
{
    CHECK(
        mistakes_in("", {{"max_concurrent", "none", "--max-concurrent"},
                         {"queue.max_wait", "30", "OLLAMA_GATEWAY_QUEUE_MAX_WAIT"},
                         {"listen", "127.0.0.1:1,x", "--listen"},
                         {"upstreams", "gpu", "--upstream"},
                         {"log.level", "\xFF", "--log-level"},
                         {"listen", "", "V"},
                         {"nothing", "", "V"},
                         {"models", "", "V"}}) ==
        "--upstream[0].url: must begin with http:// or https://: \"http://127.0.0.1:11434\", not "
        "\"gpu\"\n"
        "--log-level: is not valid UTF-8\n"
        "--max-concurrent: must be a whole number from 1 to 10000, not \"none\"\n"
        "OLLAMA_GATEWAY_QUEUE_MAX_WAIT: a duration has a unit: write \"30s\" or \"30ms\", not "
        "\"30\"\n"
        "--listen[1]: must end in a port: \"127.0.0.1:11435\", \"[::1]:11435\", \":11435\", or be "
        "\"unix:/path\", not \"x\"\n"
        "V: must name at least one\n"
        "V: no such setting: \"nothing\"\n"
        "V: no such setting: \"models\"\n");
}

TEST_CASE("upstreams given by flag replace those of the file and keep what is not said")
{
    const char* file =
        R"({"upstreams": [{"name": "gpu", "url": "http://a", "max_concurrent": 9}]})";
    using list = std::vector<config::upstream>;
    CHECK(with(file, {{"upstreams", "http://b", "--upstream"}}).upstreams ==
          list{{"gpu", "http://b", 9, 2, {}}});
    CHECK(with(file, {{"upstreams", "GPU=http://b", "--upstream"}}).upstreams ==
          list{{"GPU", "http://b", 9, 2, {}}});
    CHECK(with(file, {{"upstreams", "other=http://b", "--upstream"}}).upstreams ==
          list{{"other", "http://b", 3, 2, {}}});
    CHECK(with("", {{"upstreams", "http://b/x=y", "--upstream"}}).upstreams ==
          list{{"b:80", "http://b/x=y", 3, 2, {}}});
    CHECK(with("", {{"upstreams", "http://[::1]:5", "--upstream"}}).upstreams[0].name == "[::1]:5");
    CHECK(with("", {{"upstreams", "http://a,b=http://b", "--upstream"}}).upstreams ==
          list{{"a:80", "http://a", 3, 2, {}}, {"b", "http://b", 3, 2, {}}});
    CHECK(mistakes_in("", {{"upstreams", " , ", "--upstream"}}) ==
          "--upstream: must name at least one\n");
}

TEST_CASE("max_concurrent holds for every upstream, whoever named it and when")
{
    CHECK(with("", {{"max_concurrent", "5", "--max-concurrent"}}).upstreams[0].max_concurrent == 5);
    CHECK(with(R"({"upstreams": [{"url": "http://a", "max_concurrent": 9}]})",
               {{"max_concurrent", "5", "V"}, {"upstreams", "http://b", "--upstream"}})
              .upstreams[0]
              .max_concurrent == 5);
}

TEST_CASE("the environment is read by the names of the keys")
{
    const char* environment[] = {"PATH=/bin",
                                 "OLLAMA_GATEWAY_QUEUE_MAX_WAITING=7",
                                 "OLLAMA_GATEWAY_LISTEN=:1,:2",
                                 "OLLAMA_GATEWAY_CONFIG=/etc/x.json",
                                 "OLLAMA_GATEWAY_UPSTREAMS=http://gpu",
                                 "OLLAMA_GATEWAY_MAX_CONCURRENT=4",
                                 "OLLAMA_GATEWAY_ADMIN_LISTEN=:3",
                                 "OLLAMA_GATEWAY_HOSTS=",
                                 "OLLAMA_HOST=x",
                                 nullptr};
    std::vector<config_mistake> mistakes;
    const auto overrides = overrides_from_environment(environment, mistakes);
    CHECK(given::told(mistakes).empty());
    REQUIRE(overrides.size() == 6);
    CHECK(overrides[0].path == "queue.max_waiting");
    CHECK(overrides[0].origin == "OLLAMA_GATEWAY_QUEUE_MAX_WAITING");
    const config c = with("", overrides);
    CHECK(c.queue.max_waiting == 7);
    CHECK(c.listen == std::vector<std::string>{":1", ":2"});
    CHECK(c.upstreams[0].max_concurrent == 4);
    CHECK(overrides_from_environment(nullptr, mistakes).empty());
}

TEST_CASE("an unknown variable of ours is a mistake that names the nearest")
{
    const char* environment[] = {"OLLAMA_GATEWAY_QUEUE_MAX_WAITNG=7",
                                 "OLLAMA_GATEWAY_XYZZY_PLUGH_ABCDEF_GHIJKL=1",
                                 "OLLAMA_GATEWAY_MODELS=x", nullptr};
    std::vector<config_mistake> mistakes;
    CHECK(overrides_from_environment(environment, mistakes).empty());
    REQUIRE(mistakes.size() == 3);
    CHECK(mistakes[0].place == "OLLAMA_GATEWAY_QUEUE_MAX_WAITNG");
    CHECK(mistakes[0].text == "no such setting; did you mean OLLAMA_GATEWAY_QUEUE_MAX_WAITING?");
    CHECK(mistakes[2].place == "OLLAMA_GATEWAY_MODELS");
}

TEST_CASE("every key outside lists of objects and maps can be set by a variable of its own")
{
    std::vector<std::string> lines;
    std::set<std::string> names;
    config c;
    each_setting(settings_of(c), "", [&](const std::string& path, const setting&) {
        if (path == "models" || path == "queue.message") {
            return;
        }
        std::string name = "OLLAMA_GATEWAY_";
        for (const char letter : path) {
            name += letter == '.' ? '_' : static_cast<char>(std::toupper(letter));
        }
        CHECK(names.insert(name).second);  // no two keys share one
        lines.push_back(name + "=x");
    });
    std::vector<const char*> environment;
    for (const std::string& line : lines) {
        environment.push_back(line.c_str());
    }
    environment.push_back(nullptr);
    std::vector<config_mistake> mistakes;
    CHECK(overrides_from_environment(environment.data(), mistakes).size() == lines.size());
    CHECK(given::told(mistakes).empty());
    CHECK(lines.size() > 40);
}
