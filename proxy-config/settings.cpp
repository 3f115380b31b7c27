// The lists of keys, with their bounds.
#include "proxy-config/settings.hpp"

#include "base/text.hpp"
#include "proxy-config/document.hpp"
#include "proxy-config/model_spelling.hpp"

#include <algorithm>
#include <map>

namespace gateway {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;
using mistakes = std::vector<config_mistake>;

namespace {

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t gib = 1024 * mib;
constexpr std::uint64_t most_permits = 10'000;

// What is waited for again and again must not spin.
constexpr duration_bounds tick{100ms, 1h, false};
constexpr duration_bounds tick_or_none{100ms, 1h, true};

setting upstreams(std::vector<config::upstream>& value)
{
    const auto read = [&value](const json& j, const std::string& place, mistakes& wrong) {
        if (!j.is_array()) {
            wrong.push_back({place, "must be a list: [ { \"url\": \"http://127.0.0.1:11434\" } ]"});
            return;
        }
        if (j.empty()) {
            wrong.push_back({place, "must name at least one"});
        }
        if (j.size() > most_upstreams) {
            wrong.push_back({place, "at most " + std::to_string(most_upstreams) + " can be named"});
        }
        value.assign(j.size(), {});
        for (std::size_t i = 0; i < j.size(); ++i) {
            const std::string here = place_of(place, i);
            read_section(settings_of(value[i]), j[i], "upstreams[]", here, wrong);
            if (j[i].is_object() && !j[i].contains("url")) {
                wrong.push_back({place_of(here, "url"), "is missing"});
            }
        }
    };
    const auto write = [&value] {
        auto list = ordered_json::array();
        for (config::upstream& u : value) {
            list.push_back(write_section(settings_of(u), "upstreams[]"));
        }
        return list;
    };
    return {"upstreams", read, write, {}, {}};
}

setting models(std::map<std::string, config::model_settings>& value)
{
    const auto read = [&value](const json& j, const std::string& place, mistakes& wrong) {
        if (!j.is_object()) {
            wrong.push_back(
                {place, "must be an object: { \"qwen2.5:14b\": { … } }, not " + shown(j)});
            return;
        }
        value.clear();
        std::map<std::string, std::string> spelled;  // canonical → as written
        for (const auto& [name, settings] : j.items()) {
            const std::string here = place_of(place, name);
            if (std::string why = check_model_name(name); !why.empty()) {
                wrong.push_back({here, std::move(why)});
                continue;
            }
            if (const auto [other, fresh] = spelled.emplace(model_spelling(name), name); !fresh) {
                wrong.push_back({here, "is the same model as " + json_quote(other->second)});
            }
            read_section(settings_of(value[name]), settings, "models.*", here, wrong);
        }
    };
    const auto write = [&value] {
        auto object = ordered_json::object();
        for (auto& [name, settings] : value) {
            object[name] = write_section(settings_of(settings), "models.*");
        }
        return object;
    };
    return {"models", read, write, {}, {}};
}

setting messages(std::map<std::string, std::string>& value)
{
    const auto read = [&value](const json& j, const std::string& place, mistakes& wrong) {
        if (!j.is_object()) {
            wrong.push_back({place, "must be an object: { \"en\": \"…\" }, not " + shown(j)});
            return;
        }
        for (const auto& [language, said] : j.items()) {
            const std::string here = place_of(place, language);
            if (std::string why = check_language(language); !why.empty()) {
                wrong.push_back({here, std::move(why)});
                continue;
            }
            text({}, value[to_lower(language)], check_queue_message).read(said, here, wrong);
        }
    };
    return {"message", read, [&value] { return ordered_json(value); }, {}, {}};
}

std::vector<setting> settings_of(config::queue_settings& q)
{
    return {number("max_waiting", q.max_waiting, 0, 1'000'000),
            number("max_waiting_per_client", q.max_waiting_per_client, 0, 1'000'000),
            duration_setting("max_wait", q.max_wait),
            duration_setting("hold_upstream", q.hold_upstream),
            duration_setting("grace", q.grace),
            duration_setting("commit_whole", q.commit_whole),
            duration_setting("status_interval", q.status_interval, tick),
            duration_setting("heartbeat", q.heartbeat, tick_or_none),
            messages(q.message)};
}

// The general timeouts and a model's own have the same keys.
template <class Timeouts>
std::vector<setting> timeout_settings(Timeouts& t)
{
    return {duration_setting("connect", t.connect),       duration_setting("load", t.load),
            duration_setting("first_byte", t.first_byte), duration_setting("idle", t.idle),
            duration_setting("whole", t.whole),           duration_setting("total", t.total)};
}

std::vector<setting> settings_of(config::unload_settings& u)
{
    return {flag("on_timeout", u.on_timeout),
            duration_setting("verify_within", u.verify_within, {1s, 1h, false}),
            number("retries", u.retries, 0, 100),
            text("stuck_file", u.stuck_file, check_file_path)};
}

std::vector<setting> settings_of(config::client_settings& c)
{
    return {list("trusted_proxies", c.trusted_proxies, check_network),
            list("admins", c.admins, check_network),
            list("identity_headers", c.identity_headers, check_header_name)};
}

std::vector<setting> settings_of(config::job_settings& j)
{
    return {text("database", j.database, check_file_path),
            duration_setting("retention", j.retention, {1min, 24h * 36'500}),
            number("max_attempts", j.max_attempts, 1, 100),
            number("max_concurrent", j.max_concurrent, 0, most_permits)};
}

std::vector<setting> settings_of(config::limit_settings& l)
{
    return {size("header_bytes", l.header_bytes, kib, mib),
            number("header_fields", l.header_fields, 10, 10'000),
            size("body", l.body, kib, 64 * gib),
            number("connections", l.connections, 16, 1'000'000),
            size("client_buffer", l.client_buffer, 4 * kib, gib),
            size("memory", l.memory, mib, 1024 * gib),
            duration_setting("header_timeout", l.header_timeout, {100ms, 24h, true}),
            size("body_rate", l.body_rate, 0, gib),
            duration_setting("client_keepalive", l.client_keepalive, {1s, 24h, false})};
}

// Where a key that is unknown here is known: "did you mean …".
std::string guess(const std::vector<setting>& keys, std::string_view unknown)
{
    std::vector<std::string_view> names;
    for (const setting& key : keys) {
        names.push_back(key.name);
    }
    if (const auto near = nearest(unknown, names); !near.empty()) {
        return std::string(near);
    }
    for (std::string& path : every_path()) {
        if (path.ends_with("." + std::string(unknown))) {
            return std::move(path);
        }
    }
    return {};
}

}  // namespace

std::vector<setting> settings_of(config& c)
{
    return {one_or_list("listen", c.listen, check_listen_address),
            list("hosts", c.hosts, check_host),
            list("origins", c.origins, check_origin),
            section("admin", {text("listen", c.admin_listen, check_listen_address)}),
            upstreams(c.upstreams),
            section("queue", settings_of(c.queue)),
            section("timeouts", timeout_settings(c.timeouts)),
            section("unload", settings_of(c.unload)),
            section("reconcile", {duration_setting("interval", c.reconcile.interval, tick),
                                  duration_setting("timeout", c.reconcile.timeout, tick)}),
            models(c.models),
            section("clients", settings_of(c.clients)),
            section("auth", {text("keys_file", c.auth.keys_file, check_file_path),
                             list("exempt", c.auth.exempt, check_exemption)}),
            word("management", c.management, {"allow", "local", "deny"}),
            section("jobs", settings_of(c.jobs)),
            section("limits", settings_of(c.limits)),
            section("log", {word("level", c.log.level, {"trace", "debug", "info", "warn", "error"}),
                            word("format", c.log.format, {"text", "json"})}),
            duration_setting("drain", c.drain)};
}

std::vector<setting> settings_of(config::upstream& u)
{
    return {text("name", u.name, check_upstream_name), text("url", u.url, check_upstream_url),
            number("max_concurrent", u.max_concurrent, 1, most_permits),
            number("max_concurrent_embeddings", u.max_concurrent_embeddings, 1, most_permits),
            size("vram", u.vram)};
}

std::vector<setting> settings_of(config::model_settings& m)
{
    return {number("max_concurrent", m.max_concurrent, 0, most_permits),
            list("fallbacks", m.fallbacks, check_model_name),
            section("timeouts", timeout_settings(m.timeouts)),
            keep_alive_setting("keep_alive", m.keep_alive),
            flag("pin_options", m.pin_options),
            flag("reuse_larger_context", m.reuse_larger_context)};
}

std::string path_of(const std::string& section, std::string_view key)
{
    return section.empty() ? std::string(key) : section + "." + std::string(key);
}

void each_setting(const std::vector<setting>& keys, const std::string& path,
                  const std::function<void(const std::string&, const setting&)>& visit)
{
    for (const setting& key : keys) {
        const std::string here = path_of(path, key.name);
        if (key.keys.empty()) {
            visit(here, key);
        } else {
            each_setting(key.keys, here, visit);
        }
    }
}

std::vector<std::string> every_path()
{
    std::vector<std::string> paths;
    const auto note = [&](const std::string& path, const setting&) { paths.push_back(path); };
    config c;
    config::upstream u;
    config::model_settings m;
    each_setting(settings_of(c), "", note);
    each_setting(settings_of(u), "upstreams[]", note);
    each_setting(settings_of(m), "models.*", note);
    return paths;
}

void read_section(const std::vector<setting>& keys, const json& value, const std::string& path,
                  const std::string& place, mistakes& wrong)
{
    if (!value.is_object()) {
        wrong.push_back({place, "must be an object: { … }, not " + shown(value)});
        return;
    }
    for (const setting& key : keys) {
        if (const auto found = value.find(key.name); found != value.end()) {
            read_setting(key, *found, path_of(path, key.name), place_of(place, key.name), wrong);
        }
    }
    for (const auto& [name, ignored] : value.items()) {
        const bool known =
            std::any_of(keys.begin(), keys.end(),
                        [&name = name](const setting& key) { return key.name == name; });
        // Editors find the schema by "$schema"; it sets nothing.
        if (!known && !(path.empty() && name == "$schema")) {
            const std::string meant = guess(keys, name);
            wrong.push_back(
                {place_of(place, name),
                 meant.empty() ? "unknown key" : "unknown key; did you mean \"" + meant + "\"?"});
        }
    }
}

void read_setting(const setting& key, const json& value, const std::string& path,
                  const std::string& place, mistakes& wrong)
{
    if (!key.keys.empty()) {
        read_section(key.keys, value, path, place, wrong);
        return;
    }
    key.read(value, place, wrong);
}

ordered_json write_section(const std::vector<setting>& keys, const std::string& path)
{
    auto object = ordered_json::object();
    for (const setting& key : keys) {
        const std::string here = path_of(path, key.name);
        ordered_json value = key.keys.empty() ? key.write() : write_section(key.keys, here);
        if (!value.is_null()) {
            object[std::string(key.name)] = std::move(value);
        }
    }
    return object;
}

}  // namespace gateway
