// The kinds of value.
#include "proxy-config/setting.hpp"

#include "base/text.hpp"
#include "proxy-config/document.hpp"
#include "proxy-config/quantity.hpp"

#include <algorithm>
#include <type_traits>

namespace gateway {

using nlohmann::json;
using nlohmann::ordered_json;
using mistakes = std::vector<config_mistake>;

// The settings name their targets std::size_t or std::uint64_t as they like.
static_assert(std::is_same_v<std::size_t, std::uint64_t>);

namespace {

json as_text(std::string_view s)
{
    return std::string(trim(s));
}

json as_text_or_null(std::string_view s)
{
    s = trim(s);
    return s.empty() ? json() : json(std::string(s));
}

json as_number(std::string_view s)
{
    const auto n = parse_uint(trim(s));
    return n ? json(*n) : as_text(s);
}

json as_flag(std::string_view s)
{
    s = trim(s);
    if (s == "true" || s == "1") {
        return true;
    }
    return s == "false" || s == "0" ? json(false) : as_text(s);
}

json as_list(std::string_view s)
{
    json items = json::array();
    for (const std::string_view part : split(s, ',')) {
        if (!part.empty()) {
            items.push_back(std::string(part));
        }
    }
    return items;
}

// The text in `value` when it is one and `is_good`.
std::optional<std::string> read_text(const json& value, const std::string& place, check is_good,
                                     mistakes& wrong)
{
    if (!value.is_string()) {
        wrong.push_back({place, "must be text in quotes, not " + shown(value)});
        return std::nullopt;
    }
    const auto& text = value.get_ref<const std::string&>();
    if (std::string why = is_good(text); !why.empty()) {
        // A URL may hold a password: what has an @ is not repeated.
        wrong.push_back({place, text.find('@') == std::string::npos ? why + ", not " + shown(value)
                                                                    : std::move(why)});
        return std::nullopt;
    }
    return text;
}

std::optional<milliseconds> read_duration(const json& value, const std::string& place,
                                          const duration_bounds& bounds, mistakes& wrong)
{
    const std::string text = value.is_string() ? value.get<std::string>() : std::string();
    const auto d = parse_duration(text);
    if (value.is_number_unsigned() || parse_uint(text)) {
        const std::string bare = value.is_string() ? text : value.dump();
        wrong.push_back({place, "a duration has a unit: write \"" + bare + "s\" or \"" + bare +
                                    "ms\", not " + shown(value)});
    } else if (!d) {
        wrong.push_back(
            {place,
             "must be a duration such as \"300s\", \"5m\", \"250ms\" or \"2h30m\" (d h m s ms), "
             "not " +
                 shown(value)});
    } else if (d->count() == 0 && bounds.none) {
        return d;
    } else if (*d < bounds.least) {
        wrong.push_back({place, "must be at least " + format_duration(bounds.least) +
                                    (bounds.none ? ", or 0s for none, not " : ", not ") +
                                    shown(value)});
    } else if (*d > bounds.most) {
        wrong.push_back(
            {place, "must be at most " + format_duration(bounds.most) + ", not " + shown(value)});
    } else {
        return d;
    }
    return std::nullopt;
}

std::optional<std::uint64_t> read_size(const json& value, const std::string& place,
                                       std::uint64_t least, std::uint64_t most, mistakes& wrong)
{
    std::optional<std::uint64_t> bytes;
    if (value.is_number_unsigned()) {
        bytes = value.get<std::uint64_t>();
    } else if (value.is_string()) {
        bytes = parse_size(value.get_ref<const std::string&>());
    }
    if (!bytes) {
        wrong.push_back(
            {place,
             "must be a size such as \"64MiB\", \"8KiB\", \"1GB\" or a number of bytes, not " +
                 shown(value)});
    } else if (*bytes < least || *bytes > most) {
        wrong.push_back({place, "must be from " + format_size(least) + " to " + format_size(most) +
                                    ", not " + shown(value)});
        bytes.reset();
    }
    return bytes;
}

template <std::unsigned_integral T>
setting number_of(std::string_view name, T& value, std::uint64_t least, std::uint64_t most)
{
    return {name,
            [&value, least, most](const json& j, const std::string& place, mistakes& wrong) {
                if (j.is_number_unsigned() && j.get<std::uint64_t>() >= least &&
                    j.get<std::uint64_t>() <= most) {
                    value = static_cast<T>(j.get<std::uint64_t>());
                    return;
                }
                wrong.push_back({place, "must be a whole number from " + std::to_string(least) +
                                            " to " + std::to_string(most) + ", not " + shown(j)});
            },
            [&value] { return ordered_json(value); },
            as_number,
            {}};
}

void read_list(std::vector<std::string>& value, const json& j, const std::string& place,
               check is_good, mistakes& wrong)
{
    if (!j.is_array()) {
        wrong.push_back({place, "must be a list of texts: [ \"…\" ], not " + shown(j)});
        return;
    }
    std::vector<std::string> items;
    for (std::size_t i = 0; i < j.size(); ++i) {
        if (auto item = read_text(j[i], place_of(place, i), is_good, wrong)) {
            items.push_back(std::move(*item));
        }
    }
    value = std::move(items);
}

}  // namespace

std::string shown(const json& value)
{
    constexpr std::size_t longest = 80;
    std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
    if (text.size() > longest) {
        std::size_t end = longest;
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
            --end;  // not within a character
        }
        text = text.substr(0, end) + "…";
    }
    return text;
}

setting section(std::string_view name, std::vector<setting> keys)
{
    return {name, {}, {}, {}, std::move(keys)};
}

setting flag(std::string_view name, bool& value)
{
    return {name,
            [&value](const json& j, const std::string& place, mistakes& wrong) {
                if (j.is_boolean()) {
                    value = j.get<bool>();
                } else {
                    wrong.push_back({place, "must be true or false, not " + shown(j)});
                }
            },
            [&value] { return ordered_json(value); },
            as_flag,
            {}};
}

setting text(std::string_view name, std::string& value, check is_good)
{
    return {name,
            [&value, is_good](const json& j, const std::string& place, mistakes& wrong) {
                if (auto t = read_text(j, place, is_good, wrong)) {
                    value = std::move(*t);
                }
            },
            [&value] { return ordered_json(value); },
            as_text,
            {}};
}

setting text(std::string_view name, std::optional<std::string>& value, check is_good)
{
    return {name,
            [&value, is_good](const json& j, const std::string& place, mistakes& wrong) {
                if (j.is_null()) {
                    value.reset();
                } else if (auto t = read_text(j, place, is_good, wrong)) {
                    value = std::move(*t);
                }
            },
            [&value] { return value ? ordered_json(*value) : ordered_json(); },
            as_text_or_null,
            {}};
}

setting word(std::string_view name, std::string& value, std::vector<std::string_view> allowed)
{
    return {name,
            [&value, allowed](const json& j, const std::string& place, mistakes& wrong) {
                const std::string given = j.is_string() ? j.get<std::string>() : std::string();
                if (std::find(allowed.begin(), allowed.end(), given) != allowed.end()) {
                    value = given;
                    return;
                }
                std::string choice;
                for (const std::string_view a : allowed) {
                    choice += (choice.empty()        ? ""
                               : a == allowed.back() ? " or "
                                                     : ", ") +
                              json_quote(a);
                }
                wrong.push_back({place, "must be " + choice + ", not " + shown(j)});
            },
            [&value] { return ordered_json(value); },
            as_text,
            {}};
}

setting list(std::string_view name, std::vector<std::string>& value, check is_good)
{
    return {name,
            [&value, is_good](const json& j, const std::string& place, mistakes& wrong) {
                read_list(value, j, place, is_good, wrong);
            },
            [&value] { return ordered_json(value); },
            as_list,
            {}};
}

setting one_or_list(std::string_view name, std::vector<std::string>& value, check is_good)
{
    return {name,
            [&value, is_good](const json& j, const std::string& place, mistakes& wrong) {
                if (j.is_array() && j.empty()) {
                    wrong.push_back({place, "must name at least one"});
                } else if (j.is_array()) {
                    read_list(value, j, place, is_good, wrong);
                } else if (auto one = read_text(j, place, is_good, wrong)) {
                    value = {std::move(*one)};
                }
            },
            [&value] { return value.size() == 1 ? ordered_json(value[0]) : ordered_json(value); },
            as_list,
            {}};
}

setting duration_setting(std::string_view name, milliseconds& value, duration_bounds bounds)
{
    return {name,
            [&value, bounds](const json& j, const std::string& place, mistakes& wrong) {
                if (const auto d = read_duration(j, place, bounds, wrong)) {
                    value = *d;
                }
            },
            [&value] { return ordered_json(format_duration(value)); },
            as_text,
            {}};
}

setting duration_setting(std::string_view name, std::optional<milliseconds>& value)
{
    return {name,
            [&value](const json& j, const std::string& place, mistakes& wrong) {
                if (const auto d = read_duration(j, place, {}, wrong)) {
                    value = *d;
                }
            },
            [&value] { return value ? ordered_json(format_duration(*value)) : ordered_json(); },
            as_text,
            {}};
}

setting size(std::string_view name, std::uint64_t& value, std::uint64_t least, std::uint64_t most)
{
    return {name,
            [&value, least, most](const json& j, const std::string& place, mistakes& wrong) {
                if (const auto bytes = read_size(j, place, least, most, wrong)) {
                    value = *bytes;
                }
            },
            [&value] { return ordered_json(format_size(value)); },
            as_text,
            {}};
}

setting size(std::string_view name, std::optional<std::uint64_t>& value)
{
    return {name,
            [&value](const json& j, const std::string& place, mistakes& wrong) {
                if (j.is_null()) {
                    value.reset();
                } else if (const auto bytes = read_size(j, place, 1u << 20, 1ull << 60, wrong)) {
                    value = bytes;
                }
            },
            [&value] { return value ? ordered_json(format_size(*value)) : ordered_json(); },
            as_text_or_null,
            {}};
}

setting number(std::string_view name, unsigned& value, std::uint64_t least, std::uint64_t most)
{
    return number_of(name, value, least, most);
}

setting number(std::string_view name, std::uint64_t& value, std::uint64_t least, std::uint64_t most)
{
    return number_of(name, value, least, most);
}

setting keep_alive_setting(std::string_view name, std::optional<std::string>& value)
{
    return {name,
            [&value](const json& j, const std::string& place, mistakes& wrong) {
                if (j.is_null()) {
                    value.reset();
                } else if (j.is_number() || read_text(j, place, check_go_duration, wrong)) {
                    value = j.dump();
                }
            },
            [&value] { return value ? ordered_json::parse(*value) : ordered_json(); },
            as_text_or_null,
            {}};
}

}  // namespace gateway
