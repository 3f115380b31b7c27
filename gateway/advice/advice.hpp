// What `check` advises: settings that go together and do not, what is open to everybody, what
// Ollama must be told. Pure.
#pragma once

#include "proxy-config/config.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

struct graphics_card {
    std::string name;
    std::uint64_t bytes = 0;
};

// What `nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits` says: a card a
// line, MiB. Lines that are none are passed over.
std::vector<graphics_card> parse_cards(std::string_view said);

// Sentences, and lines to be pasted (indented, in the same string). `cards`: those of this machine.
std::vector<std::string> advice(const config& c, const std::vector<graphics_card>& cards);

}  // namespace gateway
