// Reading and writing of durations and sizes.
#include "proxy-config/quantity.hpp"

#include "base/text.hpp"

#include <array>
#include <cstddef>

namespace gateway {

namespace {

struct unit {
    std::string_view name;
    std::uint64_t worth;
};

// In milliseconds, the larger before the smaller.
constexpr std::array<unit, 5> times{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::uint64_t longest = 36'500ull * 86'400'000;

// In bytes. Writing takes the first that divides: the binary ones first, they are what memory is
// made of.
constexpr std::array<unit, 9> sizes{{{"TiB", 1ull << 40},
                                     {"GiB", 1ull << 30},
                                     {"MiB", 1ull << 20},
                                     {"KiB", 1ull << 10},
                                     {"TB", 1'000'000'000'000},
                                     {"GB", 1'000'000'000},
                                     {"MB", 1'000'000},
                                     {"KB", 1'000},
                                     {"B", 1}}};
constexpr std::uint64_t largest = 1ull << 63;

// Takes the characters at the front of `s` for which `belongs` holds.
template <class Belongs>
std::string_view take(std::string_view& s, Belongs belongs)
{
    std::size_t n = 0;
    while (n < s.size() && belongs(s[n])) {
        ++n;
    }
    const std::string_view taken = s.substr(0, n);
    s.remove_prefix(n);
    return taken;
}

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text)
{
    if (text.empty()) {
        return std::nullopt;
    }
    std::uint64_t sum = 0;
    std::size_t allowed = 0;  // units before this one have been used or passed
    while (!text.empty()) {
        const auto count = parse_uint(take(text, is_digit), longest);
        const auto name = take(text, [](char c) { return !is_digit(c); });
        std::size_t i = allowed;
        while (i < times.size() && times[i].name != name) {
            ++i;
        }
        if (!count || i == times.size() || *count > longest / times[i].worth) {
            return std::nullopt;
        }
        sum += *count * times[i].worth;
        allowed = i + 1;
    }
    if (sum > longest) {
        return std::nullopt;
    }
    return std::chrono::milliseconds(static_cast<std::int64_t>(sum));
}

std::string format_duration(std::chrono::milliseconds d)
{
    const auto ms = static_cast<std::uint64_t>(d.count());
    if (ms == 0) {
        return "0s";
    }
    for (const unit& u : times) {
        if (ms % u.worth == 0) {
            return std::to_string(ms / u.worth) + std::string(u.name);
        }
    }
    return {};  // not reached: everything is whole milliseconds
}

std::optional<std::uint64_t> parse_size(std::string_view text)
{
    const auto count = parse_uint(take(text, is_digit), largest);
    if (!count) {
        return std::nullopt;
    }
    if (text.empty()) {
        return count;
    }
    for (const unit& u : sizes) {
        if (u.name == text) {
            return *count > largest / u.worth ? std::nullopt
                                              : std::optional<std::uint64_t>(*count * u.worth);
        }
    }
    return std::nullopt;
}

std::string format_size(std::uint64_t bytes)
{
    if (bytes == 0) {
        return "0B";
    }
    for (const unit& u : sizes) {
        if (bytes % u.worth == 0) {
            return std::to_string(bytes / u.worth) + std::string(u.name);
        }
    }
    return {};  // not reached: everything is whole bytes
}

}  // namespace gateway
