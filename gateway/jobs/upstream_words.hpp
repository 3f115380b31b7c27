// What an upstream's error answer says, for people. Pure.
#pragma once

#include <string>
#include <string_view>

namespace gateway {

// The text in {"error":"…"} or {"error":{"message":"…"}}; else the beginning of the body; else that
// there was this status.
std::string upstream_words(std::string_view body, int status);

// Ollama's words for a full queue of its own.
bool says_busy(std::string_view body);

}  // namespace gateway
