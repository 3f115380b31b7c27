// When two names mean the same model (SPEC §4). Pure.
#pragma once

#include <string>
#include <string_view>

namespace gateway {

// The one spelling of a model's name, for comparing: lower case, with its tag, without Ollama's own
// registry and namespace: "Llama3", "library/llama3:latest" and "registry.ollama.ai/library/llama3"
// are all "llama3:latest" (Ollama types/model/name.go:140). Empty stays empty. A room above this
// one spells the names of calls; a test keeps the two the same.
std::string model_spelling(std::string_view name);

}  // namespace gateway
