#include "bench/sim/go_json.hpp"

#include <vector>

#include "bench/sim/text.hpp"

namespace sim {

namespace {

constexpr std::size_t max_depth = 10000;  // encoding/json's own

bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string go_char(unsigned char c)
{
    if (c == '\'')
        return R"('\'')";
    if (c == '"')
        return R"('"')";
    auto quoted = go_quoted(std::string_view(reinterpret_cast<const char*>(&c), 1));
    return "'" + quoted.substr(1, quoted.size() - 2) + "'";
}

// Builds the value with folded keys. A parser of events, because nlohmann's own keeps both of
// `Model` and `model`.
class folding_builder : public nlohmann::json_sax<json> {
public:
    json root;
    std::size_t bad_at = 0;
    bool ended_early = false;
    bool too_deep = false;

    bool null() override { return put(nullptr); }
    bool boolean(bool v) override { return put(v); }
    bool number_integer(number_integer_t v) override { return put(v); }
    bool number_unsigned(number_unsigned_t v) override { return put(v); }
    bool number_float(number_float_t v, const string_t&) override { return put(v); }
    bool string(string_t& v) override { return put(std::move(v)); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(json::object()); }
    bool start_array(std::size_t) override { return open(json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(string_t& v) override
    {
        key_ = folded(v);
        return true;
    }
    bool parse_error(std::size_t position, const std::string& token,
                     const nlohmann::detail::exception&) override
    {
        bad_at = position;
        ended_early = token.empty();
        return false;
    }

private:
    bool put(json v)
    {
        place(std::move(v));
        return true;
    }
    json& place(json v)
    {
        if (open_.empty()) {
            root = std::move(v);
            return root;
        }
        auto& parent = *open_.back();
        if (parent.is_array()) {
            parent.push_back(std::move(v));
            return parent.back();
        }
        auto& slot = parent[key_];
        slot = std::move(v);
        return slot;
    }
    bool open(json v)
    {
        if (open_.size() >= max_depth) {
            too_deep = true;
            return false;
        }
        open_.push_back(&place(std::move(v)));
        return true;
    }
    bool close()
    {
        open_.pop_back();
        return true;
    }

    std::vector<json*> open_;
    std::string key_;
};

}  // namespace

void first_value::feed(std::string_view bytes)
{
    for (std::size_t i = 0; i < bytes.size() && !complete_; ++i, ++length_) {
        char c = bytes[i];
        if (in_string_) {
            if (escaped_)
                escaped_ = false;
            else if (c == '\\')
                escaped_ = true;
            else if (c == '"')
                in_string_ = false;
            if (!in_string_ && depth_ == 0)
                complete_ = true;
        } else if (scalar_) {
            if (blank(c) || c == ',' || c == ']' || c == '}' || c == '{' || c == '[') {
                complete_ = true;
                break;
            }
        } else if (c == '"') {
            started_ = in_string_ = true;
        } else if (c == '{' || c == '[') {
            started_ = true;
            ++depth_;
        } else if (c == '}' || c == ']') {
            if (depth_ <= 1)
                complete_ = true;
            depth_ -= depth_ > 0;
        } else if (depth_ == 0 && !blank(c)) {
            // Anything but a number or a literal is wrong at its first byte.
            if ((c >= '0' && c <= '9') || c == '-' || c == 't' || c == 'f' || c == 'n')
                scalar_ = true;
            else
                complete_ = true;
        }
    }
}

std::string folded(std::string_view key)
{
    std::string out;
    out.reserve(key.size());
    for (std::size_t i = 0; i < key.size(); ++i) {
        char c = key[i];
        if (c >= 'A' && c <= 'Z') {
            out += static_cast<char>(c - 'A' + 'a');
        } else if (key.substr(i, 3) == "\xE2\x84\xAA") {
            out += 'k';
            i += 2;
        } else if (key.substr(i, 2) == "\xC5\xBF") {
            out += 's';
            i += 1;
        } else {
            out += c;
        }
    }
    return out;
}

parsed_json parse_go_json(std::string_view body)
{
    first_value end;
    end.feed(body);
    auto value = body.substr(0, end.length());
    if (trimmed(value).empty())
        return {nullptr, "EOF"};
    folding_builder builder;
    if (json::sax_parse(value, &builder))
        return {std::move(builder.root), {}};
    if (builder.too_deep)
        return {nullptr, "exceeded max depth"};
    // `position` counts the bytes read, the bad one included.
    auto at = builder.bad_at > 0 ? builder.bad_at - 1 : 0;
    if (!end.complete() && at >= value.size())
        return {nullptr, "unexpected EOF"};
    if (at >= value.size())
        at = value.size() - 1;
    std::string where = " looking for beginning of value";
    auto before = trimmed(value.substr(0, at));
    if (!before.empty()) {
        char last = before.back();
        if (last == '{')
            where = " looking for beginning of object key string";
        else if (last == ',' || last == ':' || last == '[')
            where = " looking for beginning of value";
        else
            where = " after object key:value pair";
    }
    return {nullptr, "invalid character " + go_char(static_cast<unsigned char>(value[at])) + where};
}

const json& member(const json& object, const char* key)
{
    static const json none = nullptr;
    if (!object.is_object())
        return none;
    auto found = object.find(key);
    return found == object.end() ? none : *found;
}

}  // namespace sim
