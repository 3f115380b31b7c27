#include "downstream/request_id.hpp"

#include "base/text.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>

namespace gateway {

namespace {

// The two hexadecimal digits of each byte.
constexpr std::array<std::array<char, 2>, 256> hex_pairs = [] {
    constexpr char digits[] = "0123456789abcdef";
    std::array<std::array<char, 2>, 256> pairs{};
    for (std::size_t byte = 0; byte < pairs.size(); ++byte)
        pairs[byte] = {digits[byte >> 4], digits[byte & 15]};
    return pairs;
}();

}  // namespace

std::string random_id()
{
    // One system call gives bits for many.
    thread_local std::array<std::uint8_t, 4096> bits;
    thread_local std::size_t used = bits.size();
    if (used + 16 > bits.size()) {
        std::size_t have = 0;
        while (have < bits.size()) {
            auto n = ::getrandom(bits.data() + have, bits.size() - have, 0);
            have += n > 0 ? std::size_t(n) : 0;
        }
        used = 0;
    }
    std::array<std::array<char, 2>, 16> id;
    std::transform(bits.begin() + used, bits.begin() + used + id.size(), id.begin(),
                   [](std::uint8_t byte) { return hex_pairs[byte]; });
    used += id.size();
    return {id.front().data(), sizeof id};
}

std::string request_id(std::string_view own)
{
    if (own.size() != 36)
        return random_id();
    for (std::size_t i = 0; i < own.size(); ++i) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? own[i] != '-' : std::isxdigit(static_cast<unsigned char>(own[i])) == 0)
            return random_id();
    }
    return to_lower(own);
}

}  // namespace gateway
