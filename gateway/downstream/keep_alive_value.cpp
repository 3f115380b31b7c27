// What Ollama makes of keep_alive (api/types.go:1243).
#include "downstream/keep_alive_value.hpp"

#include "base/json_cursor.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <system_error>
#include <utility>

namespace gateway {

namespace {

// What Go's time.ParseDuration makes of it, in whole nanoseconds: "0", "-1m", "1h30m", "0.1ns"
// (none); nothing for what it refuses.
std::optional<double> go_duration(std::string_view text)
{
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) {
        text.remove_prefix(1);
    }
    if (text == "0") {
        return 0;
    }
    if (text.empty()) {
        return std::nullopt;
    }
    constexpr std::array<std::pair<std::string_view, double>, 8> units = {{{"ns", 1},
                                                                           {"us", 1e3},
                                                                           {"\xC2\xB5s", 1e3},
                                                                           {"\xCE\xBCs", 1e3},
                                                                           {"ms", 1e6},
                                                                           {"s", 1e9},
                                                                           {"m", 60e9},
                                                                           {"h", 3600e9}}};
    double sum = 0;
    while (!text.empty()) {
        const auto digits_from = [&](std::size_t at) {
            return std::min(text.find_first_not_of("0123456789", at), text.size());
        };
        const std::size_t whole = digits_from(0);
        std::size_t number = whole;
        if (number < text.size() && text[number] == '.') {
            number = digits_from(number + 1);
            if (number == 1) {
                return std::nullopt;  // "."
            }
        }
        if (number == 0) {
            return std::nullopt;
        }
        const std::size_t unit_end =
            std::min(text.find_first_of(".0123456789", number), text.size());
        const auto name = text.substr(number, unit_end - number);
        const auto unit = std::find_if(units.begin(), units.end(),
                                       [&](const auto& u) { return u.first == name; });
        if (unit == units.end()) {
            return std::nullopt;
        }
        double nanoseconds = 0;
        for (const char digit : text.substr(0, whole)) {
            nanoseconds = nanoseconds * 10 + (digit - '0');
        }
        nanoseconds *= unit->second;
        if (number > whole + 1) {
            double scale = unit->second;
            for (const char digit : text.substr(whole + 1, number - whole - 1)) {
                scale /= 10;
                nanoseconds += scale * (digit - '0');
            }
        }
        sum += std::floor(nanoseconds);
        text.remove_prefix(unit_end);
    }
    if (sum >= 9223372036854775808.0) {
        return std::nullopt;  // more than an int64
    }
    return negative ? -sum : sum;
}

// What Ollama makes of a JSON number, in nanoseconds (api/types.go:1256).
std::optional<double> number_of_seconds(std::string_view number)
{
    double seconds = 0;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), seconds);
    if (read.ec == std::errc::result_out_of_range) {
        // Too small is zero, too large is an error of Ollama's own.
        if (number.find("e-") != std::string_view::npos ||
            number.find("E-") != std::string_view::npos || number.starts_with("0.") ||
            number.starts_with("-0.")) {
            return 0;
        }
        return std::nullopt;
    }
    // Less than no second is for ever, however little less.
    return seconds < 0 ? -1 : std::floor(seconds * 1e9);
}

std::optional<double> nanoseconds_of(std::string_view value)
{
    if (value.starts_with('"')) {
        return go_duration(json_unescape(value.substr(1, value.size() - 2)));
    }
    if (value.starts_with('-') || (value.front() >= '0' && value.front() <= '9')) {
        return number_of_seconds(value);
    }
    return std::nullopt;
}

}  // namespace

keep_alive read_keep_alive(std::string_view value)
{
    if (value == "null") {
        return keep_alive::absent;
    }
    return nanoseconds_of(value) == 0.0 ? keep_alive::zero : keep_alive::other;
}

duration keep_alive_time(std::string_view value)
{
    const auto ns = nanoseconds_of(value).value_or(0);
    if (ns < 0 || ns > 9e18) {
        return duration::max();
    }
    return std::chrono::duration_cast<duration>(std::chrono::duration<double, std::nano>(ns));
}

}  // namespace gateway
