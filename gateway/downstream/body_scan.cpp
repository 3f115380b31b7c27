// What the gateway must know of a JSON body, read in one pass (SPEC §4). The bytes that are decided
// upon are the bytes that Ollama gets, so they must mean the same to both: where Go's decoder would
// read a key of interest otherwise than written (it folds case and takes the last of two), the body
// is refused.
#include "base/json_cursor.hpp"
#include "base/text.hpp"
#include "downstream/classify.hpp"
#include "downstream/keep_alive_value.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace gateway {

namespace {

// Longest model name and longest keep_alive that are looked at. Ollama's own names end at 594 bytes
// (types/model/name.go: 350 + 3 × 80 and separators).
constexpr std::size_t longest_value = 1024;

// Ollama knows some twenty options; a body with more keys than this wants to cost time.
constexpr std::size_t most_options = 256;

enum key : unsigned {
    key_model,
    key_name,
    key_prompt,
    key_messages,
    key_input,
    key_stream,
    key_keep_alive,
    key_options,
    key_tools,
    key_shift,
    keys_end,
};
constexpr std::array<std::string_view, keys_end> key_names = {
    "model",  "name",       "prompt",  "messages", "input",
    "stream", "keep_alive", "options", "tools",    "shift"};

// Told apart by the length and the first byte: only one of them is compared.
key key_named(std::string_view name)
{
    const auto named = [&](key k) { return name == key_names[k] ? k : keys_end; };
    switch (name.size()) {
        case 4: return named(key_name);
        case 5:
            switch (name.front()) {
                case 'm': return named(key_model);
                case 'i': return named(key_input);
                case 't': return named(key_tools);
                default: return named(key_shift);
            }
        case 6: return name.front() == 'p' ? named(key_prompt) : named(key_stream);
        case 7: return named(key_options);
        case 8: return named(key_messages);
        case 10: return named(key_keep_alive);
        default: return keys_end;
    }
}

constexpr unsigned set_of(std::initializer_list<key> keys)
{
    unsigned set = 0;
    for (const key k : keys) {
        set |= 1u << k;
    }
    return set;
}

// The keys that Ollama's handler reads and the gateway decides by.
constexpr unsigned keys_that_matter(endpoint where)
{
    switch (where) {
        case endpoint::generate:
            return set_of(
                {key_model, key_prompt, key_stream, key_keep_alive, key_options, key_shift});
        case endpoint::chat:
            return set_of({key_model, key_messages, key_stream, key_keep_alive, key_options,
                           key_tools, key_shift});
        case endpoint::embed: return set_of({key_model, key_input, key_keep_alive, key_options});
        case endpoint::embeddings:
            return set_of({key_model, key_prompt, key_keep_alive, key_options});
        case endpoint::chat_completions:
        case endpoint::completions:
        case endpoint::responses:
        case endpoint::messages:
        case endpoint::transcriptions: return set_of({key_model, key_stream, key_tools});
        case endpoint::v1_embeddings: return set_of({key_model, key_input});
        case endpoint::management:
        case endpoint::gateway:
        case endpoint::other: break;
    }
    return set_of({key_model, key_name});  // show, delete, …: `name` is the older word
}

// api/types.go Options and Runner, and what older versions knew.
constexpr std::array<std::string_view, 27> known_options = {"num_ctx",
                                                            "num_batch",
                                                            "num_gpu",
                                                            "main_gpu",
                                                            "use_mmap",
                                                            "num_thread",
                                                            "draft_num_predict",
                                                            "num_keep",
                                                            "seed",
                                                            "num_predict",
                                                            "top_k",
                                                            "top_p",
                                                            "min_p",
                                                            "typical_p",
                                                            "repeat_last_n",
                                                            "temperature",
                                                            "repeat_penalty",
                                                            "presence_penalty",
                                                            "frequency_penalty",
                                                            "stop",
                                                            "low_vram",
                                                            "f16_kv",
                                                            "use_mlock",
                                                            "numa",
                                                            "mirostat",
                                                            "mirostat_tau",
                                                            "mirostat_eta"};

bool is_known_option(std::string_view name)
{
    return std::find(known_options.begin(), known_options.end(), name) != known_options.end();
}

// Go compares such a key as it is written.
bool is_plain(std::string_view key)
{
    return std::all_of(key.begin(), key.end(),
                       [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

// A key as Go compares it: escapes resolved, ASCII letters lower, U+017F as s, U+212A as k
// (encoding/json fold.go). Keys with any other byte beyond ASCII, or too long, match nothing.
class folded_key {
public:
    explicit folded_key(std::string_view raw);
    bool comparable() const { return comparable_; }
    bool as_written() const { return as_written_; }
    std::string_view text() const { return {text_.data(), size_}; }

private:
    void put(std::uint32_t c);

    std::array<char, 32> text_;
    std::size_t size_ = 0;
    bool comparable_ = true;
    bool as_written_ = true;
};

folded_key::folded_key(std::string_view raw)
{
    if (raw.size() <= text_.size() && is_plain(raw)) {
        std::copy(raw.begin(), raw.end(), text_.begin());
        size_ = raw.size();
        return;
    }
    std::string resolved;
    if (raw.size() > text_.size() * 6) {  // \uXXXX for each
        comparable_ = false;
        return;
    }
    if (raw.find('\\') != std::string_view::npos) {
        resolved = json_unescape(raw);
        raw = resolved;
    }
    while (!raw.empty() && comparable_) {
        if (raw.starts_with("\xC5\xBF")) {
            put('s');
            as_written_ = false;
            raw.remove_prefix(2);
        } else if (raw.starts_with("\xE2\x84\xAA")) {
            put('k');
            as_written_ = false;
            raw.remove_prefix(3);
        } else {
            put(static_cast<unsigned char>(raw.front()));
            raw.remove_prefix(1);
        }
    }
}

void folded_key::put(std::uint32_t c)
{
    if (c >= 0x80 || size_ == text_.size()) {
        comparable_ = false;
        return;
    }
    const char lower = to_lower(static_cast<char>(c));
    as_written_ = as_written_ && lower == static_cast<char>(c);
    text_[size_++] = lower;
}

bool is_json_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// Of a JSON value: nothing in it for Ollama (null, "", []).
bool is_empty_value(std::string_view value)
{
    if (value == "null" || value == "\"\"") {
        return true;
    }
    if (!value.starts_with('[')) {
        return false;
    }
    value.remove_prefix(1);
    const auto inside = std::find_if_not(value.begin(), value.end(), is_json_space);
    return inside != value.end() && *inside == ']';
}

class scan {
public:
    scan(std::string_view body, endpoint where)
        : body_(body), where_(where), matters_(keys_that_matter(where)), json_(body)
    {
    }

    boost::system::result<body_facts, fault> run();

private:
    key matching(std::string_view name) const;
    bool member(std::string_view raw_key);
    bool value_of(key k);
    bool read_model(key k, byte_range at);
    bool read_options();
    bool option(std::string_view raw_key);
    bool count_inputs();

    bool refuse(std::string why)
    {
        refusal_ = std::move(why);
        return false;
    }
    byte_range skipped();
    std::string_view text(byte_range r) const { return body_.substr(r.begin, r.end - r.begin); }

    std::string_view body_;
    endpoint where_;
    unsigned matters_;
    unsigned seen_ = 0;
    std::vector<std::string> options_seen_;
    json_cursor json_;
    body_facts facts_;
    std::string name_;  // under `name`
    byte_range name_value_;
    std::string refusal_;
};

boost::system::result<body_facts, fault> scan::run()
{
    const bool has_prompt = where_ == endpoint::generate || where_ == endpoint::chat;
    facts_.empty_prompt = has_prompt;
    const char first = json_.peek();
    if (json_.at() == body_.size()) {
        return std::move(facts_);  // Ollama says "missing request body"
    }
    if (first == '{') {
        json_.each_member([this](std::string_view raw_key) { return member(raw_key); });
    } else {
        json_.skip();  // no object: Ollama says which type it wanted
    }
    if (refusal_.empty() && json_.wrong() == nullptr) {
        facts_.size = json_.at();
        json_.peek();
        if (json_.at() == body_.size()) {
            if (facts_.model.empty()) {
                facts_.model = std::move(name_);
                facts_.model_value = name_value_;
            }
            return std::move(facts_);
        }
        refusal_ = "something follows the JSON value at byte " + std::to_string(json_.at());
    }
    if (refusal_.empty()) {
        refusal_ = "invalid JSON at byte " + std::to_string(json_.at()) + ": " + json_.wrong();
    }
    return fault{fault_code::bad_body, std::move(refusal_), whose::client, retry::no, 0};
}

// Steps over one value; the range it stands in. Empty when it is broken.
byte_range scan::skipped()
{
    json_.peek();
    const std::size_t begin = json_.at();
    if (!json_.skip()) {
        return {};
    }
    return {begin, json_.at()};
}

key scan::matching(std::string_view name) const
{
    const key k = key_named(name);
    return k == keys_end || (matters_ >> k & 1) != 0 ? k : keys_end;
}

bool scan::member(std::string_view raw_key)
{
    key k = matching(raw_key);
    if (k == keys_end && !is_plain(raw_key)) {
        const folded_key folded(raw_key);
        k = folded.comparable() ? matching(folded.text()) : keys_end;
        if (k != keys_end && !folded.as_written()) {
            return refuse("ambiguous body: the key \"" + std::string(key_names[k]) +
                          "\" stands in another case");
        }
    }
    if (k == keys_end) {
        return json_.skip();
    }
    if ((seen_ >> k & 1) != 0) {
        return refuse("ambiguous body: the key \"" + std::string(key_names[k]) + "\" stands twice");
    }
    seen_ |= 1u << k;
    return value_of(k);
}

bool scan::value_of(key k)
{
    if (k == key_options && json_.peek() == '{') {
        return read_options();
    }
    if (k == key_input && json_.peek() == '[') {
        return count_inputs();
    }
    const byte_range at = skipped();
    if (at.empty()) {
        return false;
    }
    const std::string_view value = text(at);
    switch (k) {
        case key_model:
        case key_name: return read_model(k, at);
        case key_prompt:
        case key_messages:
            facts_.empty_prompt = facts_.empty_prompt && is_empty_value(value);
            break;
        case key_stream:
            if (value == "true" || value == "false") {
                facts_.stream = value == "true";
            }
            break;
        case key_keep_alive:
            if (value.size() > longest_value) {
                return refuse("keep_alive is too long");
            }
            facts_.keep = read_keep_alive(value);
            facts_.keep_alive_value = at;
            break;
        case key_tools: facts_.tools = value.starts_with('[') && !is_empty_value(value); break;
        case key_shift: facts_.shift = at; break;
        case key_input:
        case key_options:
        case keys_end: break;  // of a type that Ollama refuses, or null
    }
    return true;
}

bool scan::read_model(key k, byte_range at)
{
    const std::string_view value = text(at);
    if (!value.starts_with('"')) {
        return true;  // null is no model; of another type: Ollama refuses it
    }
    if (value.size() > longest_value) {
        return refuse("the model name is too long");
    }
    (k == key_model ? facts_.model : name_) = json_unescape(value.substr(1, value.size() - 2));
    (k == key_model ? facts_.model_value : name_value_) = at;
    return true;
}

bool scan::read_options()
{
    const std::size_t begin = json_.at();
    if (!json_.each_member([this](std::string_view raw_key) { return option(raw_key); })) {
        return false;
    }
    facts_.options = {begin, json_.at()};
    return true;
}

bool scan::option(std::string_view raw_key)
{
    const folded_key folded(raw_key);
    if (folded.comparable()) {
        const std::string_view name = folded.text();
        if (!folded.as_written() && is_known_option(name)) {
            return refuse("ambiguous body: the option \"" + std::string(name) +
                          "\" stands in another case");
        }
        if (std::find(options_seen_.begin(), options_seen_.end(), name) != options_seen_.end()) {
            return refuse("ambiguous body: an option stands twice in `options`");
        }
        if (options_seen_.size() == most_options) {
            return refuse("too many keys in `options`");
        }
        options_seen_.emplace_back(name);
        if (name == "num_ctx") {
            facts_.num_ctx = skipped();
            return !facts_.num_ctx.empty();
        }
    }
    return json_.skip();
}

bool scan::count_inputs()
{
    unsigned count = 0;
    bool tokens = false;  // one input, as token numbers
    const bool whole = json_.each_element([&] {
        const char first = json_.peek();
        tokens = tokens || (count == 0 && (first == '-' || (first >= '0' && first <= '9')));
        ++count;
        return json_.skip();
    });
    facts_.inputs = tokens || count == 0 ? 1 : count;
    return whole;
}

}  // namespace

boost::system::result<body_facts, fault> scan_json(std::string_view body, endpoint where)
{
    return scan(body, where).run();
}

}  // namespace gateway
