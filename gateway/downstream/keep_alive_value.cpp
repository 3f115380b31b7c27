// What Ollama makes of keep_alive (api/types.go:1243).
#include "downstream/keep_alive_value.hpp"

#include "base/json_cursor.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>
#include <utility>

namespace gateway {

namespace {

// Does Go's time.ParseDuration read this as zero? "0", "0s", "-0m", "0h0m", "0.1ns"; what it
// refuses is not zero.
bool is_zero_duration(std::string_view text)
{
    if (text.starts_with('-') || text.starts_with('+')) {
        text.remove_prefix(1);
    }
    if (text == "0") {
        return true;
    }
    if (text.empty()) {
        return false;
    }
    constexpr std::array<std::pair<std::string_view, double>, 8> units = {{{"ns", 1},
                                                                           {"us", 1e3},
                                                                           {"\xC2\xB5s", 1e3},
                                                                           {"\xCE\xBCs", 1e3},
                                                                           {"ms", 1e6},
                                                                           {"s", 1e9},
                                                                           {"m", 60e9},
                                                                           {"h", 3600e9}}};
    while (!text.empty()) {
        const auto digits_from = [&](std::size_t at) {
            return std::min(text.find_first_not_of("0123456789", at), text.size());
        };
        const std::size_t whole = digits_from(0);
        std::size_t number = whole;
        if (number < text.size() && text[number] == '.') {
            number = digits_from(number + 1);
            if (number == 1) {
                return false;  // "."
            }
        }
        if (number == 0) {
            return false;
        }
        const std::size_t unit_end =
            std::min(text.find_first_of(".0123456789", number), text.size());
        const auto name = text.substr(number, unit_end - number);
        const auto unit = std::find_if(units.begin(), units.end(),
                                       [&](const auto& u) { return u.first == name; });
        if (unit == units.end()) {
            return false;
        }
        double nanoseconds = 0;
        const auto whole_digits = text.substr(0, whole);
        if (whole_digits.find_first_not_of('0') != std::string_view::npos) {
            return false;
        }
        if (number > whole + 1) {
            double scale = unit->second;
            for (const char digit : text.substr(whole + 1, number - whole - 1)) {
                scale /= 10;
                nanoseconds += scale * (digit - '0');
            }
        }
        if (nanoseconds >= 1) {
            return false;
        }
        text.remove_prefix(unit_end);
    }
    return true;
}

// Does Ollama read this JSON number, in seconds, as no nanosecond at all (api/types.go:1256)?
bool is_zero_seconds(std::string_view number)
{
    double seconds = 0;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), seconds);
    if (read.ec == std::errc::result_out_of_range) {
        // Too small is zero, too large is an error of Ollama's own.
        return number.find("e-") != std::string_view::npos ||
               number.find("E-") != std::string_view::npos || number.starts_with("0.") ||
               number.starts_with("-0.");
    }
    return seconds >= 0 && seconds * 1e9 < 1;
}

}  // namespace

keep_alive read_keep_alive(std::string_view value)
{
    if (value == "null") {
        return keep_alive::absent;
    }
    bool zero = false;
    if (value.starts_with('"')) {
        zero = is_zero_duration(json_unescape(value.substr(1, value.size() - 2)));
    } else if (value.starts_with('-') || (value.front() >= '0' && value.front() <= '9')) {
        zero = is_zero_seconds(value);
    }
    return zero ? keep_alive::zero : keep_alive::other;
}

}  // namespace gateway
