// An API key as its owner has it, and how little of it is kept. Pure.
#pragma once

#include "proxy-config/access_key.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace gateway {

// SHA-256 of the whole text. A slow hash would protect nothing here: the key is 256 random bits,
// and every request would pay for it.
std::array<std::uint8_t, 32> hash_of_key(std::string_view text);

struct made_key {
    std::string text;  // told once
    access_key kept;   // its line in the keys file
};

// How many random bytes a key is made of: its id, then its secret.
constexpr std::size_t key_bytes = 5 + 32;
made_key make_key(std::span<const std::uint8_t, key_bytes> random, std::string name, scopes may,
                  bool background);

}  // namespace gateway
