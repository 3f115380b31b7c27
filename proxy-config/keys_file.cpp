// The lines of the keys file.
#include "proxy-config/keys_file.hpp"

#include "base/encoding.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <map>

namespace gateway {

namespace {

constexpr std::string_view hash_prefix = "sha256:";
constexpr std::string_view ssh_type = "ssh-ed25519";
constexpr std::size_t most_mistakes = 10;

std::vector<std::string_view> words_of(std::string_view line)
{
    std::vector<std::string_view> words;
    for (std::string_view rest = trim(line); !rest.empty(); rest = trim(rest)) {
        const auto word = rest.substr(0, rest.find_first_of(" \t"));
        words.push_back(word);
        rest.remove_prefix(word.size());
    }
    return words;
}

// Id and hash, or type and public key. What is wrong with it, or nothing.
const char* read_value(std::string_view first, std::string_view second, access_key& key)
{
    if (first == ssh_type) {
        const auto bytes = read_ed25519_key(second);
        if (!bytes) {
            return "the public key is not a whole one of type ssh-ed25519";
        }
        key.what = access_key::type::ed25519_key;
        key.value = *bytes;
        return nullptr;
    }
    if (!is_key_id(first)) {
        return "must begin with the id of a key (gw_ and 8 characters) or with ssh-ed25519";
    }
    const auto hash = second.starts_with(hash_prefix) ? from_hex(second.substr(hash_prefix.size()))
                                                      : std::nullopt;
    if (!hash || hash->size() != key.value.size()) {
        return "behind the id must stand sha256: and the 64 hexadecimal digits of the key's hash";
    }
    key.id = first;
    std::copy(hash->begin(), hash->end(), key.value.begin());
    return nullptr;
}

const char* read_line(const std::vector<std::string_view>& words, access_key& key)
{
    if (std::any_of(words.begin(), words.end(), is_key)) {
        return "holds a key itself, which must stand nowhere: write the line that `key new` "
               "printed "
               "for it, or make a new key";
    }
    if (const char* wrong = read_value(words[0], words.size() > 1 ? words[1] : "", key)) {
        return wrong;
    }
    if (words.size() < 3) {
        return "a name is missing at its end";
    }
    if (!is_key_name(words[2])) {
        return "the name must be 1 to 64 letters, digits and . _ @ + -";
    }
    key.name = words[2];
    std::size_t next = 3;
    const auto is_priority = [](std::string_view w) {
        return w == "background" || w == "interactive";
    };
    if (next < words.size() && !is_priority(words[next])) {
        const auto may = parse_scopes(words[next++]);
        if (!may) {
            return "behind the name may stand scopes (inference, jobs, management, admin, with "
                   "commas and no spaces between them), then background or interactive";
        }
        key.may = *may;
    }
    if (next < words.size() && is_priority(words[next])) {
        key.background = words[next++] == "background";
    }
    return next < words.size() ? "there is something behind its end" : nullptr;
}

}  // namespace

std::vector<access_key> parse_keys(std::string_view text, const std::string& file,
                                   std::vector<config_mistake>& mistakes)
{
    std::vector<access_key> keys;
    std::map<std::string, std::size_t> seen;  // id or public key → line
    std::size_t wrong = 0;
    const auto tell = [&](std::size_t line, const std::string& what) {
        if (++wrong <= most_mistakes) {
            mistakes.push_back({"auth.keys_file", file + ":" + std::to_string(line) + ": " + what});
        }
    };
    std::size_t number = 0;
    while (!text.empty()) {
        const auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        ++number;
        const auto words = words_of(line);
        if (words.empty() || words[0].starts_with('#')) {
            continue;
        }
        access_key key;
        if (const char* what = read_line(words, key)) {
            tell(number, what);
            continue;
        }
        const std::string which = key.id.empty() ? to_hex(key.value) : key.id;
        if (const auto [first, fresh] = seen.emplace(which, number); !fresh) {
            tell(number, "this key stands on line " + std::to_string(first->second) + " already");
            continue;
        }
        keys.push_back(std::move(key));
    }
    if (wrong > most_mistakes) {
        mistakes.push_back({"auth.keys_file", file + ": and " +
                                                  std::to_string(wrong - most_mistakes) +
                                                  " more lines with mistakes"});
    }
    return keys;
}

std::string line_of(const access_key& key)
{
    std::string line = key.id;
    line.append(" ").append(hash_prefix).append(to_hex(key.value)).append(" ").append(key.name);
    line.append(" ").append(to_text(key.may));
    if (key.background) {
        line += " background";
    }
    return line;
}

std::optional<std::array<std::uint8_t, 32>> read_ed25519_key(std::string_view base64)
{
    // string "ssh-ed25519", string key; each with its length in four bytes
    constexpr std::array<std::uint8_t, 19> head{0,   0,   0,   11,  's', 's', 'h', '-', 'e', 'd',
                                                '2', '5', '5', '1', '9', 0,   0,   0,   32};
    const auto bytes = from_base64(base64);
    if (!bytes || bytes->size() != head.size() + 32 ||
        !std::equal(head.begin(), head.end(), bytes->begin())) {
        return std::nullopt;
    }
    std::array<std::uint8_t, 32> key{};
    std::copy(bytes->begin() + head.size(), bytes->end(), key.begin());
    return key;
}

}  // namespace gateway
