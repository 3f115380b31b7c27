// One key of the configuration: its name, how its value is read from JSON and from the text of a
// flag or variable, and how it is written. The kinds of value stand here once; settings.hpp has the
// keys. Pure.
#pragma once

#include "proxy-config/checks.hpp"
#include "proxy-config/config.hpp"

#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// A setting is bound to the variable it sets, which must outlive it.
struct setting {
    std::string_view name;
    // Sets the variable, or tells what is wrong at `place` and leaves the variable alone.
    std::function<void(const nlohmann::json&, const std::string& place,
                       std::vector<config_mistake>&)>
        read;
    std::function<nlohmann::ordered_json()> write;
    // What a flag or variable says, as the file would say it; empty: only the file can.
    std::function<nlohmann::json(std::string_view)> from_text;
    std::vector<setting> keys;  // of a section, which has only these and a name
};

struct duration_bounds {
    milliseconds least{0};
    milliseconds most{std::chrono::hours(24 * 365)};
    bool none = true;  // "0s" is allowed even when `least` is more
};

setting section(std::string_view name, std::vector<setting> keys);
setting flag(std::string_view name, bool& value);
setting text(std::string_view name, std::string& value, check is_good);
setting text(std::string_view name, std::optional<std::string>& value, check is_good);
setting word(std::string_view name, std::string& value, std::vector<std::string_view> allowed);
setting list(std::string_view name, std::vector<std::string>& value, check is_good);
setting one_or_list(std::string_view name, std::vector<std::string>& value,
                    check is_good);  // not none
setting duration_setting(std::string_view name, milliseconds& value, duration_bounds bounds = {});
setting duration_setting(std::string_view name, std::optional<milliseconds>& value);
setting size(std::string_view name, std::uint64_t& value, std::uint64_t least, std::uint64_t most);
setting size(std::string_view name, std::optional<std::uint64_t>& value);
setting number(std::string_view name, unsigned& value, std::uint64_t least, std::uint64_t most);
setting number(std::string_view name, std::uint64_t& value, std::uint64_t least,
               std::uint64_t most);

// Ollama's keep_alive, kept as the JSON text it is sent as.
setting keep_alive_setting(std::string_view name, std::optional<std::string>& value);

// The value as it stands in a mistake: short, one line, valid UTF-8.
std::string shown(const nlohmann::json& value);

}  // namespace gateway
