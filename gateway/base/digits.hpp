// Numbers written without printf's care for every kind of them: a busy gateway writes dozens a
// call. Pure.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>

namespace gateway {

// The longest number has 19 digits, a sign and a point.
constexpr std::size_t longest_number = 21;

// These write at `to`, where there is room for the longest, and return the end of what they wrote.
inline char* put_number(char* to, std::int64_t n)
{
    return std::to_chars(to, to + longest_number, n).ptr;
}

// All three digits of a number below 1000.
inline char* put_three_digits(char* to, unsigned n)
{
    to[0] = char('0' + n / 100);
    to[1] = char('0' + n / 10 % 10);
    to[2] = char('0' + n % 10);
    return to + 3;
}

// So many thousandths: 1234 is "1.234", -5 is "-0.005".
inline char* put_thousandths(char* to, std::int64_t n)
{
    auto all = std::uint64_t(n);
    if (n < 0) {
        *to++ = '-';
        all = 0 - all;
    }
    to = put_number(to, std::int64_t(all / 1000));
    *to++ = '.';
    return put_three_digits(to, unsigned(all % 1000));
}

inline void append_number(std::string& to, std::int64_t n)
{
    std::array<char, longest_number> digits;
    auto* end = put_number(digits.data(), n);
    to.append(digits.data(), std::size_t(end - digits.data()));
}

inline void append_thousandths(std::string& to, std::int64_t n)
{
    std::array<char, longest_number> digits;
    auto* end = put_thousandths(digits.data(), n);
    to.append(digits.data(), std::size_t(end - digits.data()));
}

}  // namespace gateway
