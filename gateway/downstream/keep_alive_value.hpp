// Which keep_alive takes a model out of memory: a number or a Go duration that comes to zero. Pure.
#pragma once

#include "call/body_facts.hpp"

#include <string_view>

namespace gateway {

// `value` is one valid JSON value. What Ollama refuses (true, {}, "300") is `other`: it says so
// itself.
keep_alive read_keep_alive(std::string_view value);

}  // namespace gateway
