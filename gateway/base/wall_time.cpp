#include "base/wall_time.hpp"

#include "base/text.hpp"

#include <array>
#include <ctime>
#include <limits>

namespace gateway {

namespace {

// A busy gateway tells thousands of times a second, most of them in the same one.
std::string_view to_seconds(wall_clock::time_point t)
{
    thread_local std::time_t of = std::numeric_limits<std::time_t>::min();
    thread_local std::array<char, 32> text;
    thread_local std::size_t size = 0;
    auto seconds =
        std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(t));
    if (seconds != of) {
        std::tm parts{};
        ::gmtime_r(&seconds, &parts);
        size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
        of = seconds;
    }
    return {text.data(), size};
}

// The number of `digits` digits at `at`; -1 when there is none.
int number(std::string_view text, std::size_t at, std::size_t digits)
{
    if (at + digits > text.size())
        return -1;
    auto n = parse_uint(text.substr(at, digits));
    return n ? int(*n) : -1;
}

}  // namespace

std::string rfc3339(wall_clock::time_point t)
{
    std::string text(to_seconds(t));
    text += 'Z';
    return text;
}

std::string rfc3339_micros(wall_clock::time_point t)
{
    auto whole = std::chrono::floor<std::chrono::seconds>(t);
    auto micros = std::chrono::duration_cast<std::chrono::microseconds>(t - whole).count();
    std::array<char, 8> fraction{'.', 0, 0, 0, 0, 0, 0, 'Z'};
    for (std::size_t at = 6; at != 0; --at, micros /= 10)
        fraction[at] = char('0' + micros % 10);
    auto seconds = to_seconds(t);
    std::string text;
    text.reserve(seconds.size() + fraction.size());
    text.append(seconds).append(fraction.data(), fraction.size());
    return text;
}

std::optional<double> parse_rfc3339(std::string_view text)
{
    if (text.size() < 20 || text[4] != '-' || text[7] != '-' ||
        (text[10] != 'T' && text[10] != 't') || text[13] != ':' || text[16] != ':')
        return std::nullopt;
    const int year = number(text, 0, 4), month = number(text, 5, 2), day = number(text, 8, 2);
    const int hour = number(text, 11, 2), minute = number(text, 14, 2),
              second = number(text, 17, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60)
        return std::nullopt;
    std::size_t at = 19;
    double fraction = 0;
    if (text[at] == '.') {
        double place = 0.1;
        for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, place /= 10)
            fraction += place * (text[at] - '0');
    }
    if (at >= text.size())
        return std::nullopt;
    int offset = 0;
    if (text[at] == '+' || text[at] == '-') {
        const int hours = number(text, at + 1, 2), minutes = number(text, at + 4, 2);
        if (text.size() != at + 6 || text[at + 3] != ':' || hours < 0 || hours > 23 ||
            minutes < 0 || minutes > 59)
            return std::nullopt;
        offset = (hours * 60 + minutes) * 60 * (text[at] == '-' ? -1 : 1);
    } else if (text.size() != at + 1 || (text[at] != 'Z' && text[at] != 'z')) {
        return std::nullopt;
    }
    using namespace std::chrono;
    auto days = sys_days(std::chrono::year(year) / month / day).time_since_epoch().count();
    return double(days) * 86400 + hour * 3600 + minute * 60 + second - offset + fraction;
}

}  // namespace gateway
