// gateway.schema.json says of every key what the code says.
#include "proxy-config/given.hpp"
#include "proxy-config/settings.hpp"

#include <map>
#include <nlohmann/json.hpp>
#include <regex>

using namespace gateway;
using nlohmann::json;

namespace {

const json& schema()
{
    static const json parsed = json::parse(given::file(given::folder() / "gateway.schema.json"));
    return parsed;
}

// What a "$ref" stands for, with the keys beside it laid over.
json resolved(json node)
{
    if (node.contains("$ref")) {
        json target = schema().at(json::json_pointer(node["$ref"].get<std::string>().substr(1)));
        node.erase("$ref");
        target.update(node);
        return target;
    }
    return node;
}

// Path → description of everything that has a value of its own, as each_setting names it.
void collect(const json& object, const std::string& path, std::map<std::string, json>& found)
{
    for (const auto& [name, raw] : object.at("properties").items()) {
        const json node = resolved(raw);
        const std::string here = path_of(path, name);
        if (node.value("type", json()) == "object" && node.contains("properties")) {
            CHECK(node.at("additionalProperties") == false);
            collect(node, here, found);
            continue;
        }
        found[here] = node;
        if (here == "upstreams") {
            collect(node.at("items"), "upstreams[]", found);
        } else if (here == "models") {
            collect(node.at("additionalProperties"), "models.*", found);
        }
    }
}

std::map<std::string, json> described()
{
    std::map<std::string, json> found;
    collect(schema(), "", found);
    found.erase("$schema");
    return found;
}

struct bound {
    config c;
    config::upstream u;
    config::model_settings m;
    std::map<std::string, setting> settings;

    bound()
    {
        const auto note = [&](const std::string& path, const setting& s) { settings[path] = s; };
        each_setting(settings_of(c), "", note);
        each_setting(settings_of(u), "upstreams[]", note);
        each_setting(settings_of(m), "models.*", note);
    }

    bool accepts(const std::string& path, const json& value)
    {
        std::vector<config_mistake> mistakes;
        settings.at(path).read(value, path, mistakes);
        return mistakes.empty();
    }
};

// The first pattern in a description: its own, of its items, or of one of its alternatives.
std::string pattern_of(const json& node)
{
    const json n = resolved(node);
    if (n.contains("pattern")) {
        return n["pattern"];
    }
    if (n.contains("items")) {
        return pattern_of(n["items"]);
    }
    if (n.contains("anyOf")) {
        for (const json& one : n["anyOf"]) {
            if (std::string p = pattern_of(one); !p.empty()) {
                return p;
            }
        }
    }
    return {};
}

}  // namespace

TEST_CASE("every key that the code knows stands in the schema, and the reverse")
{
    std::vector<std::string> in_schema;
    for (const auto& [path, node] : described()) {
        in_schema.push_back(path);
        CAPTURE(path);
        CHECK(node.value("description", "").size() > 3);
    }
    std::vector<std::string> in_code = every_path();
    std::sort(in_code.begin(), in_code.end());
    CHECK(in_schema == in_code);
}

TEST_CASE("the schema's defaults are the code's")
{
    bound fresh;
    for (const auto& [path, node] : described()) {
        CAPTURE(path);
        if (path == "upstreams") {
            const json shown = json::parse(to_json(parse_config("", {}).value));
            CHECK(node.at("default") == shown.at("upstreams"));
            continue;
        }
        const auto before = fresh.settings.at(path).write();
        if (!node.contains("default")) {
            CHECK((before.is_null() || before == ""));
            continue;
        }
        CHECK(fresh.accepts(path, node.at("default")));
        CHECK(fresh.settings.at(path).write() == before);
    }
}

TEST_CASE("numbers have the same bounds in schema and code")
{
    bound b;
    int checked = 0;
    for (const auto& [path, node] : described()) {
        if (node.value("type", json()) != "integer") {
            continue;
        }
        CAPTURE(path);
        const auto least = node.at("minimum").get<std::int64_t>();
        const auto most = node.at("maximum").get<std::int64_t>();
        CHECK(b.accepts(path, static_cast<std::uint64_t>(least)));
        CHECK(b.accepts(path, static_cast<std::uint64_t>(most)));
        CHECK_FALSE(b.accepts(path, json::parse(std::to_string(least - 1))));
        CHECK_FALSE(b.accepts(path, json::parse(std::to_string(most + 1))));
        ++checked;
    }
    CHECK(checked == 10);
}

TEST_CASE("words have the same choice in schema and code")
{
    bound b;
    int checked = 0;
    for (const auto& [path, node] : described()) {
        if (!node.contains("enum")) {
            continue;
        }
        for (const json& word : node["enum"]) {
            CAPTURE(path, word);
            CHECK(b.accepts(path, word));
        }
        std::vector<config_mistake> mistakes;
        b.settings.at(path).read("", path, mistakes);
        const auto quotes = std::count(mistakes.at(0).text.begin(), mistakes.at(0).text.end(), '"');
        CHECK(quotes == static_cast<std::ptrdiff_t>(2 * node["enum"].size() + 2));  // … not ""
        ++checked;
    }
    CHECK(checked == 3);
}

TEST_CASE("flags and texts have the same type in schema and code")
{
    bound b;
    for (const auto& [path, node] : described()) {
        CAPTURE(path);
        const json type = node.value("type", json());
        CHECK(b.accepts(path, true) == (type == "boolean"));
        const bool null_allowed = type.is_array() ? std::count(type.begin(), type.end(), "null") > 0
                                                  : path == "upstreams[].vram";
        CHECK(b.accepts(path, nullptr) == null_allowed);
    }
}

TEST_CASE("a pattern of the schema takes what the code takes")
{
    struct row {
        const char* path;
        std::vector<const char*> good;
        std::vector<const char*> bad;
    };
    bound b;
    const auto all = described();
    std::size_t patterns = 0;
    for (const row& r : std::vector<row>{
             {"queue.grace",
              {"300s", "5m", "250ms", "2h30m", "1d", "0s", "1s5ms"},
              {"", "5", "5 s", "s", "30m2h", "-1s", "1.5s", "5S"}},
             {"limits.body",
              {"64MiB", "1GB", "65536", "2000KB"},
              {"", "MiB", "64 MiB", "64mib", "1G", "-1"}},
             {"listen",
              {"127.0.0.1:1", "[::1]:1", ":1", "localhost:1", "unix:/run/s"},
              {"", "127.0.0.1", "gpu:1", "http://127.0.0.1:1", "unix:s", "::1:1", ":x"}},
             {"admin.listen", {"127.0.0.1:1"}, {"127.0.0.1:1 ", "x"}},
             {"hosts",
              {"a.b", "localhost", "192.0.2.1", "::1"},
              {"", "http://a", "a/b", "a b", "-a", ".a"}},
             {"origins",
              {"*", "https://a.b", "http://a:8080", "app://*", "http://192.0.2.*"},
              {"", "a.b", "https://", "https://a/", "https://*.*", "https://a b", "1://a"}},
             {"upstreams[].name", {"local", "gpu-1", "[::1]:11434"}, {"", "a b", "a@b", "a;b"}},
             {"upstreams[].url",
              {"http://a", "https://a.b:1/c", "HTTP://a", "http://[::1]:1", "http://a/",
               "http://a_b/c%20d"},
              {"", "a", "ftp://a", "http://", "http://u@a", "http://a?b", "http://a/#b",
               "http://a:x", "http://-a"}},
             {"clients.trusted_proxies",
              {"127.0.0.0/8", "::1/128", "192.0.2.1"},
              {"", "me", "127.0.0.1/", "[::1]"}},
             {"clients.admins", {"192.0.2.1"}, {"localhost"}},
             {"auth.exempt",
              {"/", "/api/tags", "/v1/*", "/*", "information", "generation", "embedding",
               "management"},
              {"", "api/tags", "/a b", "/a?b", "/a#b", "/a*", "/a*/b", "*", "/**", "reading",
               "Information", "/a\n", "/a\x7f"}},
             {"clients.identity_headers", {"X-Who", "a_b!"}, {"", "X Who", "X:", "X\xC3\xA4"}},
             {"models.*.fallbacks", {"m", "a/b:c"}, {"", "a b", "a;b"}}}) {
        const std::string pattern = pattern_of(all.at(r.path));
        CAPTURE(r.path, pattern);
        REQUIRE_FALSE(pattern.empty());
        const std::regex regex(pattern, std::regex::ECMAScript);
        const bool is_list = all.at(r.path).value("type", json()) == "array";
        for (const bool expected : {true, false}) {
            for (const char* text : expected ? r.good : r.bad) {
                CAPTURE(text);
                CHECK(std::regex_search(text, regex) == expected);
                CHECK(b.accepts(r.path, is_list ? json::array({text}) : json(text)) == expected);
            }
        }
        ++patterns;
    }
    CHECK(patterns == 13);
}

TEST_CASE("messages and their languages have the same patterns in schema and code")
{
    bound b;
    const json node = described().at("queue.message");
    const std::regex language(node.at("propertyNames").at("pattern").get<std::string>());
    const std::regex message(node.at("additionalProperties").at("pattern").get<std::string>());
    for (const auto& [tag, good] : std::map<std::string, bool>{{"en", true},
                                                               {"pt-BR", true},
                                                               {"gsw", true},
                                                               {"zh-Hant-TW", true},
                                                               {"", false},
                                                               {"e", false},
                                                               {"english", false},
                                                               {"en_US", false},
                                                               {"en-", false},
                                                               {"e1", false}}) {
        CAPTURE(tag);
        CHECK(std::regex_search(tag, language) == good);
        CHECK(b.accepts("queue.message", {{tag, "x"}}) == good);
    }
    for (const auto& [text, good] : std::map<std::string, bool>{{"x", true},
                                                                {"{position}", true},
                                                                {"a {seconds} b {position}", true},
                                                                {"ä", true},
                                                                {"", false},
                                                                {"{", false},
                                                                {"}", false},
                                                                {"{place}", false},
                                                                {"{{position}}", false},
                                                                {"a\nb", false}}) {
        CAPTURE(text);
        CHECK(std::regex_search(text, message) == good);
        CHECK(b.accepts("queue.message", {{"en", text}}) == good);
    }
}

TEST_CASE("values of several kinds are read as they are meant")
{
    bound b;
    CHECK(b.accepts("upstreams[].vram", "24GiB"));
    CHECK(b.u.vram == 24ull << 30);
    CHECK_FALSE(b.accepts("upstreams[].vram", 5));
    CHECK(b.accepts("unload.stuck_file", "/run/stuck"));
    CHECK(b.c.unload.stuck_file == "/run/stuck");
    CHECK_FALSE(b.accepts("unload.stuck_file", ""));
    CHECK(b.accepts("models.*.fallbacks", {"a", "b:c"}));
    CHECK(b.m.fallbacks == std::vector<std::string>{"a", "b:c"});
    CHECK(b.accepts("models.*.keep_alive", -1));
    CHECK(b.m.keep_alive == "-1");
    CHECK(b.accepts("models.*.keep_alive", "1h30m"));
    CHECK(b.m.keep_alive == "\"1h30m\"");
    for (const char* bad : {"300", "-1", "", "1d", "h", "1.2.3s", "5m "}) {
        CAPTURE(bad);
        CHECK_FALSE(b.accepts("models.*.keep_alive", bad));
    }
    CHECK(b.accepts("jobs.retention", "30d"));
    CHECK(b.accepts("jobs.database", "/var/lib/jobs.db"));
    CHECK(b.accepts("auth.exempt", {"/x"}));
}
