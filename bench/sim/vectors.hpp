// Embeddings of no meaning: the same text always gives the same vector of length one. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bench/sim/go_json.hpp"

namespace sim {

// Appends a JSON array of `dimensions` numbers.
void append_vector(std::string& out, std::string_view input, int dimensions);
// The same as little-endian float32 in base64 (encoding_format base64).
std::string base64_vector(std::string_view input, int dimensions);

// `input` of an embedding request: a string or an array of strings; "" and [] are none. False for
// anything else.
bool read_inputs(const json& input, std::vector<std::string>& out);

}  // namespace sim
