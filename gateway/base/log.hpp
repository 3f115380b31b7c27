// The log: lines of text or JSON on standard error, gathered and written in batches so that a call
// pays for no system call, and dropped (and counted) rather than waited for when nobody reads them.
// No prompt and no key is ever given to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace gateway::log {

// One named value of a line. Text is borrowed for the length of the call.
struct item {
    enum class type : std::uint8_t { text, integer, milliseconds, boolean, none };

    template <class T>
    requires std::is_integral_v<T> &&(!std::is_same_v<T, bool>)item(std::string_view n, T v)
        : name(n), kind(type::integer), number(std::int64_t(v))
    {
    }
    // Told in milliseconds, with three decimals.
    item(std::string_view n, std::optional<std::chrono::microseconds> v)
        : name(n), kind(v ? type::milliseconds : type::none), number(v ? v->count() : 0)
    {
    }
    item(std::string_view n, bool v) : name(n), kind(type::boolean), number(v) {}
    item(std::string_view n, std::string_view v) : name(n), kind(type::text), text(v) {}
    item(std::string_view n, const std::string& v) : name(n), kind(type::text), text(v) {}
    item(std::string_view n, const char* v) : name(n), kind(type::text), text(v) {}

    std::string_view name;
    type kind;
    std::string_view text;
    std::int64_t number = 0;  // of milliseconds: microseconds
};

enum class level : std::uint8_t { trace, debug, info, warn, error };
using items = std::initializer_list<item>;

// `level_name` is that of a level (anything else: nothing is logged), `format` is "text" or "json".
// Until then it is info as text.
void open(std::string_view level_name, std::string_view format);
// Writes what has gathered, as far as standard error takes it without blocking.
void flush();
// Lines lost because standard error did not take them.
std::uint64_t dropped();

bool enabled(level l);
void write(level l, std::string_view message, items fields);

inline void debug(std::string_view message, items fields = {})
{
    write(level::debug, message, fields);
}
inline void info(std::string_view message, items fields = {})
{
    write(level::info, message, fields);
}
inline void warn(std::string_view message, items fields = {})
{
    write(level::warn, message, fields);
}
inline void error(std::string_view message, items fields = {})
{
    write(level::error, message, fields);
}

}  // namespace gateway::log
