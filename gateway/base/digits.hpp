// Numbers written without printf's care for every kind of them: a busy gateway writes dozens a
// call. Pure.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace gateway {

inline void append_number(std::string& to, std::int64_t n)
{
    std::array<char, 24> digits;
    auto end = std::to_chars(digits.data(), digits.data() + digits.size(), n).ptr;
    to.append(digits.data(), end);
}

// So many thousandths: 1234 is "1.234", -5 is "-0.005".
inline void append_thousandths(std::string& to, std::int64_t n)
{
    if (n < 0)
        to += '-';
    append_number(to, std::abs(n) / 1000);
    to += '.';
    for (int unit = 100; unit != 0; unit /= 10)
        to += char('0' + std::abs(n) % 1000 / unit % 10);
}

}  // namespace gateway
