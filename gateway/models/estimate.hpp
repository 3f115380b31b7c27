// What /api/show says of a model that matters to its place in VRAM, and how much of it Ollama will
// think it takes (ollama.md §9; sched.go load, llama_server.go PredictServerVRAM). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

struct model_facts {
    // What Ollama tells runners apart by: "sha256-…", the blob that the Modelfile's FROM names. Two
    // names with the same share one runner. Empty: not told (cloud models, safetensors).
    std::string runner;
    std::string parameters;  // as load_options wants them
    bool embedding = false;  // loaded by /api/embed: it cannot generate
    bool shifts = true;      // its family's default of `shift`
    bool remote = false;     // runs on another host, and takes no VRAM here

    // Of the GGUF; 0: not told.
    std::uint64_t trained_context = 0;
    std::uint64_t cache_per_token = 0;  // bytes of key-value cache, at f16
    // Never more than one call at once, whatever OLLAMA_NUM_PARALLEL is (sched.go:500-510).
    bool one_at_a_time = false;
};

// None when it is not what Ollama answers. What a version leaves out is empty or 0.
std::optional<model_facts> parse_show(std::string_view json);

// Bytes by Ollama's own estimate: the file, and the cache of `parallel` (at least 1) contexts of
// `num_ctx` tokens, which end at what the model was trained for. `file`: as /api/tags says. An
// estimate only orders (SPEC §7): it is often too high, for models with sliding windows by far, and
// knows nothing of projectors and of caches in fewer bits. Never overflows.
std::uint64_t estimated_vram(const model_facts& facts, std::uint64_t file, std::uint64_t num_ctx,
                             unsigned parallel);

}  // namespace gateway
