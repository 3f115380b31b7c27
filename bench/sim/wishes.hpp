// What a request says about the run it wants: model, options, keep_alive, as Ollama reads and
// refuses them. Pure.
#pragma once

#include <optional>
#include <string>

#include "bench/sim/go_json.hpp"
#include "bench/sim/scheduler.hpp"

namespace sim {

// A refusal: `status` 0 means all is well.
struct refusal {
    int status = 0;
    std::string message;
    explicit operator bool() const { return status != 0; }
};

// encoding/json's complaint when `key` is there and of another kind. `type` is Go's: string, bool,
// float64.
refusal expect(const json& object, const char* go_struct, const char* key, std::string_view type);

// api/types.go:1232.
refusal read_keep_alive(const json& value, std::optional<duration>& out);

// Load-time options (§0.8) after defaulting, the context they mean, and num_predict. Only `options`
// matters, the PARAMETERs of the model and, of the request itself, `shift`.
struct wishes {
    std::string load_options;  // canonical: those that are not as Ollama would have them by itself
    int context = 0;
    std::optional<int> num_predict;
};
refusal read_options(const json& request, int default_context, const model_spec& model,
                     wishes& out);

// All text of a value, for counting: strings at any depth.
std::size_t text_bytes(const json& value);

}  // namespace sim
