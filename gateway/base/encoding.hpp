// Bytes as text and back: hexadecimal, base64, base32. Strict: what is read has one spelling (but
// for the case of hexadecimal digits). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

using byte_row = std::vector<std::uint8_t>;

std::string to_hex(std::span<const std::uint8_t> bytes);
std::optional<byte_row> from_hex(std::string_view text);

// RFC 4648 §4, with its padding and with no bit set that stands for nothing; no white space.
std::optional<byte_row> from_base64(std::string_view text);

// RFC 4648 §6 in small letters and without padding: 5 bytes are 8 characters, 32 bytes are 52.
std::string to_base32(std::span<const std::uint8_t> bytes);

}  // namespace gateway
