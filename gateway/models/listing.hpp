// What an upstream says of its models: /api/ps and /api/tags, read. Pure.
#pragma once

#include "base/clock.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

struct loaded_model {
    std::string name;       // as /api/ps shows it
    std::string canonical;  // as Ollama compares names
    std::uint64_t size = 0;
    std::uint64_t size_vram = 0;
    std::string expires_at;
    std::optional<duration> expires_in;  // from now; filled in by whoever has a clock
    std::uint64_t context_length = 0;    // of its runner; 0: not told (before v0.10.0)
};

struct listed_model {
    std::string name;
    std::string canonical;
    std::string digest;      // of its manifest: the same content everywhere
    std::uint64_t size = 0;  // of the files
};

// None when it is not what Ollama answers: then nothing is known, and nothing is concluded.
std::optional<std::vector<loaded_model>> parse_ps(std::string_view json);
std::optional<std::vector<listed_model>> parse_tags(std::string_view json);

}  // namespace gateway
