// The file is read event by event, not by nlohmann's own tree builder: that one keeps the last of
// two equal keys silently and has no bound on depth.
#include "proxy-config/document.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway {

using nlohmann::json;

namespace {

constexpr std::size_t deepest = 32;
constexpr std::size_t longest_key_shown = 100;

std::string line_and_column(std::string_view text, std::size_t offset)
{
    const std::string_view before = text.substr(0, offset);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const auto newline = before.rfind('\n');
    const auto column = before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
    return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

// nlohmann's "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while
// …".
std::string words_of(std::string_view what)
{
    const auto bracket = what.find("] ");
    what.remove_prefix(bracket == std::string_view::npos ? 0 : bracket + 2);
    if (what.starts_with("parse error")) {
        const auto colon = what.find(": ");
        what.remove_prefix(colon == std::string_view::npos ? 0 : colon + 2);
    }
    // What it read last may begin lines before, and may be a secret.
    std::string words(what.substr(0, what.find("; last read: '")));
    if (const auto expected = what.rfind("; expected ");
        expected < what.size() && expected > words.size()) {
        words += what.substr(expected);
    }
    return to_valid_utf8(words);
}

// Takes nlohmann's events and makes the tree of them.
class tree {
public:
    tree(std::string_view text, std::vector<config_mistake>& mistakes)
        : text_(text), mistakes_(mistakes)
    {
    }

    json take() { return std::move(root_); }

    bool null() { return put(json()); }
    bool boolean(bool b) { return put(b); }
    bool number_integer(json::number_integer_t n) { return put(n); }
    bool number_unsigned(json::number_unsigned_t n) { return put(n); }
    bool number_float(json::number_float_t n, const std::string&) { return put(n); }
    bool string(std::string& s) { return put(std::move(s)); }
    bool binary(json::binary_t&) { return false; }  // no such thing in text
    bool start_object(std::size_t) { return open(json::object()); }
    bool start_array(std::size_t) { return open(json::array()); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }

    bool key(std::string& name)
    {
        level& in = levels_.back();
        in.key = std::move(name);
        if (in.value->contains(in.key)) {
            mistakes_.push_back({place_of(in.place, in.key), "stands twice"});
        }
        return true;
    }

    bool parse_error(std::size_t position, const std::string&, const json::exception& error)
    {
        // `position` counts the bytes read, the one that was wrong included.
        const std::size_t at = std::min(position == 0 ? 0 : position - 1, text_.size());
        const std::string_view before = trim(text_.substr(0, at));
        const bool closing = at < text_.size() && (text_[at] == '}' || text_[at] == ']');
        mistakes_.push_back(
            {line_and_column(text_, at), closing && before.ends_with(',')
                                             ? "there is a comma too many before this"
                                             : words_of(error.what())});
        return false;
    }

private:
    struct level {
        json* value;  // an object or array; it does not move while something in it is open
        std::string place;
        std::string key;  // the latest, in an object
    };

    // Where the next value goes.
    json& slot()
    {
        if (levels_.empty()) {
            return root_;
        }
        level& in = levels_.back();
        if (in.value->is_object()) {
            return (*in.value)[in.key];
        }
        in.value->push_back(nullptr);
        return in.value->back();
    }

    bool put(json value)
    {
        slot() = std::move(value);
        return true;
    }

    bool open(json value)
    {
        json& at = slot();
        std::string place;
        if (!levels_.empty()) {
            const level& in = levels_.back();
            place = in.value->is_object() ? place_of(in.place, in.key)
                                          : place_of(in.place, in.value->size() - 1);
        }
        if (levels_.size() == deepest) {
            mistakes_.push_back({levels_.front().key, "is nested deeper than anything here"});
            return false;
        }
        at = std::move(value);
        levels_.push_back({&at, std::move(place), {}});
        return true;
    }

    bool close()
    {
        levels_.pop_back();
        return true;
    }

    std::string_view text_;
    std::vector<config_mistake>& mistakes_;
    json root_;
    std::vector<level> levels_;
};

bool is_plain(std::string_view key)
{
    return !key.empty() && key.size() <= longest_key_shown &&
           std::all_of(key.begin(), key.end(), [](char c) {
               const char l = to_lower(c);
               return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
                      c == '-';
           });
}

}  // namespace

std::optional<json> read_document(std::string_view text, std::vector<config_mistake>& mistakes)
{
    // nlohmann takes a zero byte for the end of the text.
    if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
        mistakes.push_back({line_and_column(text, zero), "a zero byte: is this a text file?"});
        return std::nullopt;
    }
    tree built(text, mistakes);
    if (!json::sax_parse(text, &built, json::input_format_t::json, true, true)) {
        return std::nullopt;
    }
    json root = built.take();
    if (!root.is_object()) {
        mistakes.push_back({"line 1, column 1", "the file must hold one object: { … }"});
        return std::nullopt;
    }
    return root;
}

std::string place_of(const std::string& in, std::string_view key)
{
    if (!is_plain(key)) {
        return in + "[" + json_quote(key.substr(0, longest_key_shown)) + "]";
    }
    return in.empty() ? std::string(key) : in + "." + std::string(key);
}

std::string place_of(const std::string& in, std::size_t index)
{
    return in + "[" + std::to_string(index) + "]";
}

}  // namespace gateway
