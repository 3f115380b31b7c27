// The words and forms of access_key.hpp.
#include "proxy-config/access_key.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway {

namespace {

constexpr std::array every_scope{scope::inference, scope::jobs, scope::management, scope::admin};
constexpr std::size_t longest_name = 64;

bool is_base32(std::string_view text)
{
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7'); });
}

}  // namespace

std::string_view word(scope s)
{
    switch (s) {
        case scope::inference: return "inference";
        case scope::jobs: return "jobs";
        case scope::management: return "management";
        case scope::admin: return "admin";
    }
    return {};
}

std::optional<scopes> parse_scopes(std::string_view list)
{
    scopes found;
    for (const std::string_view part : split(list, ',')) {
        const auto known = std::find_if(every_scope.begin(), every_scope.end(),
                                        [&](scope s) { return word(s) == part; });
        if (known == every_scope.end() || found.has(*known)) {
            return std::nullopt;
        }
        found.add(*known);
    }
    return found;
}

std::string to_text(scopes s)
{
    std::string text;
    for (const scope one : every_scope) {
        if (s.has(one)) {
            text.append(text.empty() ? "" : ",").append(word(one));
        }
    }
    return text;
}

bool is_key_id(std::string_view text)
{
    return text.size() == key_id_size && text.starts_with(key_prefix) &&
           is_base32(text.substr(key_prefix.size()));
}

bool is_key(std::string_view text)
{
    return text.size() == key_size && is_key_id(text.substr(0, key_id_size)) &&
           text[key_id_size] == '_' && is_base32(text.substr(key_id_size + 1));
}

bool is_key_name(std::string_view text)
{
    return !text.empty() && text.size() <= longest_name &&
           std::all_of(text.begin(), text.end(), [](char c) {
               const char l = to_lower(c);
               return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') ||
                      std::string_view("._@+-").find(c) != std::string_view::npos;
           });
}

}  // namespace gateway
