#include "call/load_options.hpp"

#include "base/json_cursor.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace gateway {

namespace {

enum key : unsigned {
    num_ctx_,
    num_batch_,
    num_gpu_,
    main_gpu_,
    use_mmap_,
    num_thread_,
    draft_num_predict_,
    shift_,
    keys_end,
};
constexpr std::array<std::string_view, keys_end> names = {
    "num_ctx",  "num_batch",  "num_gpu",           "main_gpu",
    "use_mmap", "num_thread", "draft_num_predict", "shift"};

constexpr std::string_view refused = "[]";
constexpr std::int64_t smallest_context = 4;  // sched.go getRunner

// The canonical value of each key; empty: absent.
using values = std::array<std::string, keys_end>;

key key_of(std::string_view name)
{
    return static_cast<key>(std::find(names.begin(), names.end(), name) - names.begin());
}

// What Go makes of it: through a double, cut towards zero.
std::string integer(key k, std::string_view json)
{
    double n = 0;
    const auto [end, error] = std::from_chars(json.data(), json.data() + json.size(), n);
    if (error != std::errc() || end != json.data() + json.size() ||
        !(std::abs(n) < 9223372036854775808.0)) {
        return std::string(refused);
    }
    auto whole = static_cast<std::int64_t>(n);
    if (k == num_ctx_) {
        whole = std::max(whole, smallest_context);
    } else if (k == num_gpu_) {
        whole = std::max<std::int64_t>(whole, -1);
    }
    return std::to_string(whole);
}

// `json`: one JSON value as written, not null.
std::string canonical(key k, std::string_view json)
{
    if (k == use_mmap_ || k == shift_) {
        return std::string(json == "true" || json == "false" ? json : refused);
    }
    const char first = json.empty() ? '\0' : json.front();
    const bool number = first == '-' || (first >= '0' && first <= '9');
    return number ? integer(k, json) : std::string(refused);
}

std::string default_of(key k, bool shifts)
{
    switch (k) {
        case num_gpu_: return "-1";
        case num_thread_: return "0";
        case shift_: return shifts ? "true" : "false";
        default: return {};
    }
}

// A null that is not the same as nothing.
std::string null_of(key k)
{
    return k == num_batch_ ? "512" : k == draft_num_predict_ ? "4" : "";
}

// `num_ctx                        8192` a line; numbers as Go prints them, 1.048576e+06 too.
values read_parameters(std::string_view parameters)
{
    values v;
    while (!parameters.empty()) {
        const auto newline = parameters.find('\n');
        const auto line = trim(parameters.substr(0, newline));
        parameters.remove_prefix(newline == parameters.npos ? parameters.size() : newline + 1);
        const auto space = line.find(' ');
        if (space == line.npos) {
            continue;
        }
        const auto k = key_of(line.substr(0, space));
        if (k == keys_end || k == shift_) {
            continue;
        }
        if (auto value = canonical(k, trim(line.substr(space))); value != refused) {
            v[k] = std::move(value);
        }
    }
    return v;
}

// The members of `options` that matter, and `shift`; "null" stands as it is written.
values read_body(std::string_view body, const body_facts& facts)
{
    values v;
    const auto in = [&](byte_range r) { return body.substr(r.begin, r.end - r.begin); };
    json_cursor json(in(facts.options));
    const auto member = [&](std::string_view raw_key) {
        json.peek();
        const auto from = json.at();
        if (!json.skip()) {
            return false;
        }
        const bool plain = raw_key.find('\\') == raw_key.npos;
        const auto k = plain ? key_of(raw_key) : key_of(json_unescape(raw_key));
        if (k < shift_) {
            const auto value = in(facts.options).substr(from, json.at() - from);
            v[k] = value == "null" ? std::string(value) : canonical(k, value);
        }
        return true;
    };
    if (!facts.options.empty()) {
        json.each_member(member);
    }
    if (const auto value = in(facts.shift); !value.empty() && value != "null") {
        v[shift_] = canonical(shift_, value);
    }
    return v;
}

std::string write(const values& v)
{
    std::string text;
    for (unsigned k = 0; k < keys_end; ++k) {
        if (v[k].empty()) {
            continue;
        }
        if (!text.empty()) {
            text += ',';
        }
        text += names[k];
        text += '=';
        text += v[k];
    }
    return text;
}

// No value has a comma in it.
values parse(std::string_view text)
{
    values v;
    for (const auto part : split(text, ',')) {
        const auto equals = part.find('=');
        const auto k = key_of(part.substr(0, equals));
        if (equals != part.npos && k != keys_end) {
            v[k] = canonical(k, part.substr(equals + 1));
        }
    }
    return v;
}

std::optional<std::uint64_t> context_of(const values& v)
{
    return parse_uint(v[num_ctx_]);
}

}  // namespace

bool is_load_option(std::string_view key)
{
    return key_of(key) < shift_;
}

load_options load_options::of(std::string_view body, const body_facts& facts,
                              std::string_view parameters, bool shifts)
{
    if (facts.options.empty() && facts.shift.empty()) {
        return {};
    }
    auto own = read_body(body, facts);
    const auto models = read_parameters(parameters);
    for (unsigned n = 0; n < keys_end; ++n) {
        const auto k = static_cast<key>(n);
        if (own[k] == "null") {
            own[k] = models[k].empty() ? null_of(k) : "";
        }
        if (own[k] == (models[k].empty() ? default_of(k, shifts) : models[k])) {
            own[k].clear();
        }
    }
    load_options o;
    o.text_ = write(own);
    return o;
}

load_options load_options::read(std::string_view text)
{
    load_options o;
    if (!text.empty())
        o.text_ = write(parse(text));
    return o;
}

std::optional<std::uint64_t> load_options::num_ctx() const
{
    return text_.empty() ? std::nullopt : context_of(parse(text_));
}

std::string load_options::without_num_ctx() const
{
    auto v = parse(text_);
    v[num_ctx_].clear();
    return write(v);
}

std::string load_options::as_json_members() const
{
    const auto v = parse(text_);
    std::string members;
    for (unsigned k = 0; k < shift_; ++k) {
        if (!v[k].empty()) {
            members += members.empty() ? "\"options\":{\"" : ",\"";
            members += names[k];
            members += "\":";
            members += v[k];
        }
    }
    if (!members.empty()) {
        members += '}';
    }
    if (!v[shift_].empty()) {
        members += members.empty() ? "\"shift\":" : ",\"shift\":";
        members += v[shift_];
    }
    return members;
}

bool load_options::serves_smaller(const load_options& wish, std::uint64_t context) const
{
    const auto mine = parse(text_);
    const auto theirs = parse(wish.text_);
    if (without_num_ctx() != wish.without_num_ctx()) {
        return false;
    }
    if (theirs[num_ctx_].empty()) {
        return mine[num_ctx_].empty();
    }
    const auto wanted = context_of(theirs);
    const auto has = mine[num_ctx_].empty() ? context : context_of(mine).value_or(0);
    return wanted && has != 0 && *wanted <= has;
}

std::string load_parameters(std::string_view parameters)
{
    return write(read_parameters(parameters));
}

}  // namespace gateway
