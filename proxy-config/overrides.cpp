// Flags and variables: their paths, and the two that have no key in the file.
#include "proxy-config/overrides.hpp"

#include "base/text.hpp"
#include "proxy-config/address.hpp"
#include "proxy-config/document.hpp"
#include "proxy-config/settings.hpp"

#include <algorithm>

namespace gateway {

using nlohmann::json;
using mistakes = std::vector<config_mistake>;

namespace {

constexpr std::string_view prefix = "OLLAMA_GATEWAY_";
constexpr std::string_view upstreams_path = "upstreams";
constexpr std::string_view permits_path = "max_concurrent";

std::vector<std::string> override_paths()
{
    std::vector<std::string> paths{std::string(upstreams_path), std::string(permits_path)};
    config c;
    each_setting(settings_of(c), "", [&](const std::string& path, const setting& key) {
        if (key.from_text) {
            paths.push_back(path);
        }
    });
    return paths;
}

std::string variable_of(std::string_view path)
{
    std::string name(prefix);
    for (const char c : path) {
        name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return name;
}

// "NAME=URL" → name and URL; "URL" → no name and URL. A '=' in the URL's own path is not one.
std::pair<std::string, std::string> name_and_url(std::string_view text)
{
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || equals > text.find("://")) {
        return {"", std::string(text)};
    }
    return {std::string(trim(text.substr(0, equals))), std::string(trim(text.substr(equals + 1)))};
}

// What the file says besides of the upstream that `name` (none: the only one) replaces.
config::upstream inherited(const std::vector<config::upstream>& before, const std::string& name,
                           bool only_one)
{
    for (const config::upstream& old : before) {
        if (name.empty() ? only_one && before.size() == 1 : iequals(name_of(old), name)) {
            return old;
        }
    }
    return {};
}

void replace_upstreams(config& c, const config_override& by, mistakes& wrong)
{
    std::vector<std::string_view> parts = split(by.text, ',');
    std::erase(parts, "");
    std::vector<config::upstream> now;
    json list = json::array();
    for (const std::string_view part : parts) {
        auto [name, url] = name_and_url(part);
        now.push_back(inherited(c.upstreams, name, parts.size() == 1));
        list.push_back({{"url", std::move(url)}});
        if (!name.empty()) {
            list.back()["name"] = std::move(name);
        }
    }
    c.upstreams = {};
    for (const setting& key : settings_of(c)) {
        if (key.name == upstreams_path) {
            key.read(list, by.origin, wrong);
        }
    }
    for (std::size_t i = 0; i < now.size(); ++i) {
        now[i].url = std::move(c.upstreams[i].url);
        if (!c.upstreams[i].name.empty()) {
            now[i].name = std::move(c.upstreams[i].name);
        }
    }
    c.upstreams = std::move(now);
}

void set_permits(config& c, const config_override& by, mistakes& wrong)
{
    if (c.upstreams.empty()) {
        return;  // the list of upstreams has its own mistake
    }
    unsigned permits = 0;
    const std::size_t before = wrong.size();
    const setting key = number(permits_path, permits, 1, 10'000);
    key.read(key.from_text(by.text), by.origin, wrong);
    if (wrong.size() == before) {
        for (config::upstream& u : c.upstreams) {
            u.max_concurrent = permits;
        }
    }
}

void set(config& c, const config_override& by, mistakes& wrong)
{
    bool known = false;
    each_setting(settings_of(c), "", [&](const std::string& path, const setting& key) {
        if (path == by.path && key.from_text) {
            known = true;
            read_setting(key, key.from_text(by.text), path, by.origin, wrong);
        }
    });
    if (!known) {
        wrong.push_back({by.origin, "no such setting: " + json_quote(by.path)});
    }
}

}  // namespace

std::string name_of(const config::upstream& u)
{
    std::string ignored;
    const auto url = parse_upstream_address(u.url, ignored);
    if (!u.name.empty() || !url) {
        return u.name;
    }
    const bool v6 = url->host.find(':') != std::string::npos;
    return (v6 ? "[" + url->host + "]" : url->host) + ":" + std::to_string(url->port);
}

void apply_overrides(config& c, const std::vector<config_override>& overrides, mistakes& wrong)
{
    // Which upstreams there are, before how many permits they have: whoever said which.
    std::vector<config_override> good;
    for (const config_override& by : overrides) {
        if (!is_valid_utf8(by.text)) {
            wrong.push_back({by.origin, "is not valid UTF-8"});
        } else if (by.path == upstreams_path) {
            replace_upstreams(c, by, wrong);
        } else {
            good.push_back(by);
        }
    }
    if (c.upstreams.empty()) {
        c.upstreams.push_back({.name = "local", .url = "http://127.0.0.1:11434", .vram = {}});
    }
    for (const config_override& by : good) {
        by.path == permits_path ? set_permits(c, by, wrong) : set(c, by, wrong);
    }
}

std::vector<config_override> overrides_from_environment(const char* const* environment,
                                                        mistakes& wrong)
{
    const std::vector<std::string> paths = override_paths();
    std::vector<std::string> names;
    for (const std::string& path : paths) {
        names.push_back(variable_of(path));
    }
    std::vector<config_override> found;
    for (; environment != nullptr && *environment != nullptr; ++environment) {
        const std::string_view line = *environment;
        const std::string_view name = line.substr(0, line.find('='));
        if (!name.starts_with(prefix) || name == "OLLAMA_GATEWAY_CONFIG" ||
            name.size() == line.size()) {
            continue;
        }
        const auto known = std::find(names.begin(), names.end(), name);
        if (known != names.end()) {
            found.push_back({paths[static_cast<std::size_t>(known - names.begin())],
                             std::string(line.substr(name.size() + 1)), std::string(name)});
            continue;
        }
        const auto near = nearest(name, names);
        wrong.push_back({to_valid_utf8(name), near.empty() ? "no such setting"
                                                           : "no such setting; did you mean " +
                                                                 std::string(near) + "?"});
    }
    return found;
}

}  // namespace gateway
