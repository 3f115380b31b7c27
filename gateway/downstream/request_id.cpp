#include "downstream/request_id.hpp"

#include "base/text.hpp"

#include <sys/random.h>

#include <array>
#include <cctype>
#include <cstdint>

namespace gateway {

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
    constexpr char digits[] = "0123456789abcdef";
    std::array<char, 32> id;
    const std::uint8_t* const own = bits.data() + used;
    for (std::size_t i = 0; i < 16; ++i) {
        id[2 * i] = digits[own[i] >> 4];
        id[2 * i + 1] = digits[own[i] & 15];
    }
    used += 16;
    return {id.data(), id.size()};
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
