// Model names as Ollama compares them. Pure.
#pragma once

#include <string>
#include <string_view>

namespace gateway {

// `m` → `m:latest`, lower case, without registry.ollama.ai/ and library/
// (types/model/name.go:140-213), and without `:local`. Empty stays empty.
std::string canonical_model(std::string_view model);

// A cloud model (`…:cloud`, `…-cloud`): runs elsewhere and needs no permit (internal/modelref).
bool is_cloud(std::string_view model);

}  // namespace gateway
