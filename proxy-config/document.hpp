// The text of the configuration file as a tree, and the names of places in it. Pure.
#pragma once

#include "proxy-config/config.hpp"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// JSON with comments. A syntax error is told with its line and column; a key that stands twice, too
// deep a nesting and a value that is no object are mistakes too. nullopt when there is no tree to
// look at.
std::optional<nlohmann::json> read_document(std::string_view text,
                                            std::vector<config_mistake>& mistakes);

// The place of a key or an element: "queue" + "max_wait" → queue.max_wait, "models" + "qwen2.5:14b"
// → models["qwen2.5:14b"], "upstreams" + 1 → upstreams[1].
std::string place_of(const std::string& in, std::string_view key);
std::string place_of(const std::string& in, std::size_t index);

}  // namespace gateway
