// What a keep_alive says: whether it takes the model out of memory (a number or a Go duration that
// comes to zero), and how long it keeps it. Pure.
#pragma once

#include "base/clock.hpp"
#include "call/body_facts.hpp"

#include <string_view>

namespace gateway {

// `value` is one valid JSON value. What Ollama refuses (true, {}, "300") is `other`: it says so
// itself.
keep_alive read_keep_alive(std::string_view value);

// How long the model stays after its last call; below zero is for ever: duration::max(). Zero for
// what Ollama refuses.
duration keep_alive_time(std::string_view value);

}  // namespace gateway
