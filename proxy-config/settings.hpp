// Every key of the configuration, once: reading, writing, flags, variables and the schema's test
// all go over these lists. Pure.
#pragma once

#include "proxy-config/config.hpp"
#include "proxy-config/setting.hpp"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gateway {

// The keys of the whole file, of one of its upstreams and of one of its models, bound to that
// struct.
std::vector<setting> settings_of(config& c);
std::vector<setting> settings_of(config::upstream& u);
std::vector<setting> settings_of(config::model_settings& m);

// The path of a key in a section: "queue" + "max_wait" → "queue.max_wait".
std::string path_of(const std::string& section, std::string_view key);

// Visits what has a value of its own: ("queue.max_wait", its setting), …
void each_setting(const std::vector<setting>& keys, const std::string& path,
                  const std::function<void(const std::string&, const setting&)>& visit);

// Every path of the file: "queue.max_wait", "upstreams[].url", "models.*.timeouts.idle", …
std::vector<std::string> every_path();

// Reads an object into the settings: unknown keys and keys of what is not available are mistakes.
// `path` says which section it is, `place` where in the file it stands.
void read_section(const std::vector<setting>& keys, const nlohmann::json& value,
                  const std::string& path, const std::string& place,
                  std::vector<config_mistake>& mistakes);

// Reads one value, unless its key is not available.
void read_setting(const setting& key, const nlohmann::json& value, const std::string& path,
                  const std::string& place, std::vector<config_mistake>& mistakes);

// The object that read_section reads back: without what is null or not available.
nlohmann::ordered_json write_section(const std::vector<setting>& keys, const std::string& path);

}  // namespace gateway
