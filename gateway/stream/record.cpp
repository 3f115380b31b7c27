// A walk over the members of a JSON object that never descends: what matters stands at most three
// levels deep, and each level is walked on its own.
#include "stream/record.hpp"

#include "base/text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>

#include <bit>
#endif

namespace gateway {

namespace {

constexpr std::size_t longest_error = 4096;

// No call runs for so long: a larger number is no duration.
constexpr duration longest_run = std::chrono::hours(24 * 30);

const char* skip_spaces(const char* p, const char* end)
{
    while (p != end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) {
        ++p;
    }
    return p;
}

// Mostly there is none.
inline const char* skip_space(const char* p, const char* end)
{
    return p != end && static_cast<unsigned char>(*p) > ' ' ? p : skip_spaces(p, end);
}

// `p` is after the opening quote; gives the place after the closing one, nullptr when there is
// none.
const char* skip_string(const char* p, const char* end)
{
#ifdef __SSE2__
    // Nearly every string is a short one without escapes.
    if (end - p >= static_cast<std::ptrdiff_t>(sizeof(__m128i))) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        const auto quotes =
            static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'))));
        if (quotes != 0) {
            const char* quote = p + std::countr_zero(quotes);
            if (quote[-1] != '\\') {  // of an empty string the opening quote
                return quote + 1;
            }
        }
    }
#endif
    for (;;) {
        auto* quote =
            static_cast<const char*>(std::memchr(p, '"', static_cast<std::size_t>(end - p)));
        if (quote == nullptr) {
            return nullptr;
        }
        auto* slash = quote;
        while (slash != p && slash[-1] == '\\') {
            --slash;
        }
        p = quote + 1;
        if ((quote - slash) % 2 == 0) {
            return p;
        }
        // Escaped: what follows is still the string. The backslashes were all counted, so the next
        // search may start after them.
    }
}

// `p` is after the opening bracket.
const char* skip_nested(const char* p, const char* end)
{
    std::size_t depth = 1;
    while (p != end) {
        switch (*p++) {
            case '"':
                p = skip_string(p, end);
                if (p == nullptr) {
                    return nullptr;
                }
                break;
            case '{':
            case '[': ++depth; break;
            case '}':
            case ']':
                if (--depth == 0) {
                    return p;
                }
                break;
            default: break;
        }
    }
    return nullptr;
}

// Of a number, a true, a false or a null.
bool ends_word(char c)
{
    if (c >= '0' && c <= '9') {
        return false;  // most of them are numbers
    }
    switch (c) {
        case ',':
        case '}':
        case ']':
        case ' ':
        case '\t':
        case '\r':
        case '\n':
        case '\0': return true;
        default: return false;
    }
}

const char* skip_value(const char* p, const char* end)
{
    if (p == end) {
        return nullptr;
    }
    if (*p == '"') {
        return skip_string(p + 1, end);
    }
    if (*p == '{' || *p == '[') {
        return skip_nested(p + 1, end);
    }
    const char* begin = p;
    while (p != end && !ends_word(*p)) {
        ++p;
    }
    return p == begin ? nullptr : p;
}

std::string_view between(const char* begin, const char* end)
{
    return {begin, static_cast<std::size_t>(end - begin)};
}

// Calls visit(key, value) for each member, both as written, the key without its quotes. True when
// it was one object and nothing but white space followed; `open_ended`: anything may follow.
template <class Visit>
bool each_member(std::string_view json, Visit visit, bool open_ended = false)
{
    const char* const end = json.data() + json.size();
    const char* p = skip_space(json.data(), end);
    if (p == end || *p != '{') {
        return false;
    }
    p = skip_space(p + 1, end);
    if (p != end && *p == '}') {
        return open_ended || skip_space(p + 1, end) == end;
    }
    while (p != end && *p == '"') {
        const char* key = p + 1;
        p = skip_string(key, end);
        if (p == nullptr) {
            return false;
        }
        const char* key_end = p - 1;
        p = skip_space(p, end);
        if (p == end || *p != ':') {
            return false;
        }
        const char* value = skip_space(p + 1, end);
        p = skip_value(value, end);
        if (p == nullptr) {
            return false;
        }
        visit(between(key, key_end), between(value, p));
        p = skip_space(p, end);
        if (p == end) {
            return false;
        }
        if (*p == '}') {
            return open_ended || skip_space(p + 1, end) == end;
        }
        if (*p != ',') {
            return false;
        }
        p = skip_space(p + 1, end);
    }
    return false;
}

bool is_string(std::string_view value)
{
    return value.size() >= 2 && value.front() == '"';
}

std::string_view unquoted(std::string_view value)
{
    return is_string(value) ? value.substr(1, value.size() - 2) : std::string_view();
}

// A JSON string's text, cut; as written where it is not a valid one.
std::string text_of(std::string_view value)
{
    auto parsed = nlohmann::json::parse(value.begin(), value.end(), nullptr, false);
    std::string text =
        parsed.is_string() ? parsed.get<std::string>() : std::string(unquoted(value));
    if (text.size() > longest_error) {
        text.resize(longest_error);
    }
    return text;
}

std::string message_of(std::string_view error)
{
    std::string text;
    each_member(error, [&](std::string_view key, std::string_view value) {
        if (key == "message" && is_string(value)) {
            text = text_of(value);
        }
    });
    return text;
}

// parse_uint(), which looks at each digit for what may be too much: of so few digits none is.
std::optional<std::uint64_t> number(std::string_view value, std::uint64_t most)
{
    constexpr std::size_t digits_that_fit = 18;
    if (value.size() > digits_that_fit) {
        return parse_uint(value, most);
    }
    std::uint64_t n = 0;
    for (const char c : value) {
        const auto digit = static_cast<unsigned>(c) - '0';
        if (digit > 9) {
            return std::nullopt;
        }
        n = n * 10 + digit;
    }
    return value.empty() || n > most ? std::nullopt : std::optional(n);
}

// How many tokens; none when that cannot be: what a counter cannot hold exactly would spoil all
// that it has counted.
std::optional<std::uint64_t> tokens(std::string_view value)
{
    constexpr std::uint64_t most = std::uint64_t{1} << 40;
    return number(value, most);
}

// Adds a number of nanoseconds, as Ollama tells durations.
void add_duration(std::string_view value, record& r)
{
    if (const auto ns = number(value, std::chrono::nanoseconds(longest_run).count())) {
        r.ran = r.ran.value_or(duration{}) + std::chrono::nanoseconds(*ns);
    }
}

void read_usage(std::string_view usage, record& r, bool open_ended = false)
{
    auto visit = [&](std::string_view key, std::string_view value) {
        auto& count =
            key == "prompt_tokens" || key == "input_tokens" ? r.prompt_tokens : r.completion_tokens;
        if (&count == &r.prompt_tokens || key == "completion_tokens" || key == "output_tokens") {
            if (auto n = tokens(value)) {
                count = n;
            }
        }
    };
    each_member(usage, visit, open_ended);
}

// The `response` of a response.* event, the `message` of a message_start.
void read_envelope(std::string_view envelope, record& r)
{
    each_member(envelope, [&](std::string_view key, std::string_view value) {
        if (key == "usage") {
            read_usage(value, r);
        } else if (key == "error" && value.front() == '{') {
            r.error_text = message_of(value);
        }
    });
}

// The members of a record that say something.
enum class member : std::uint8_t {
    other,
    done,
    error,
    type,
    prompt_eval_count,
    eval_count,
    duration,  // prompt_eval_duration or eval_duration
    usage,
    response,
    message,
};

// Of the dozen members of a record few are as long as one of these: the length is looked at first.
member member_named(std::string_view key)
{
    const auto named = [&](std::string_view name, member m) {
        return key == name ? m : member::other;
    };
    switch (key.size()) {
        case 4: return key == "done" ? member::done : named("type", member::type);
        case 5: return key == "error" ? member::error : named("usage", member::usage);
        case 7: return named("message", member::message);
        case 8: return named("response", member::response);
        case 10: return named("eval_count", member::eval_count);
        case 13: return named("eval_duration", member::duration);
        case 17: return named("prompt_eval_count", member::prompt_eval_count);
        case 20: return named("prompt_eval_duration", member::duration);
        default: return member::other;
    }
}

// Where the value of the last member `key` (with its quotes) in `tail` begins; empty when nowhere.
// Only a key can read so: in a string's text the quotes would be escaped.
std::string_view last_value(std::string_view tail, std::string_view key)
{
    for (auto at = tail.rfind(key); at != std::string_view::npos; at = tail.rfind(key, at - 1)) {
        const char* const end = tail.data() + tail.size();
        const char* p = skip_space(tail.data() + at + key.size(), end);
        if (p != end && *p == ':') {
            p = skip_space(p + 1, end);
            return between(p, end);
        }
        if (at == 0) {
            break;
        }
    }
    return {};
}

}  // namespace

record read_record(std::string_view json)
{
    record r;
    std::string_view message;
    r.whole = each_member(json, [&](std::string_view key, std::string_view value) {
        switch (member_named(key)) {
            case member::done: r.done = value == "true"; break;
            case member::error: {
                bool object = value.front() == '{';
                r.error = object || is_string(value);
                r.error_text = object    ? message_of(value)
                               : r.error ? text_of(value)
                                         : std::string();
                break;
            }
            case member::type: r.type = unquoted(value); break;
            case member::prompt_eval_count: r.prompt_tokens = tokens(value); break;
            case member::eval_count: r.completion_tokens = tokens(value); break;
            case member::duration: add_duration(value, r); break;
            case member::usage: read_usage(value, r); break;
            case member::message: message = value; [[fallthrough]];
            case member::response: read_envelope(value, r); break;
            case member::other: break;
        }
    });
    if (r.error_text.empty() && r.type == "error" && is_string(message)) {
        r.error_text = text_of(message);
    }
    return r;
}

record read_record_tail(std::string_view tail)
{
    record r;
    auto digits = [&](std::string_view key) {
        auto value = last_value(tail, key);
        return value.substr(0, value.find_first_not_of("0123456789"));
    };
    r.prompt_tokens = tokens(digits("\"prompt_eval_count\""));
    r.completion_tokens = tokens(digits("\"eval_count\""));
    add_duration(digits("\"prompt_eval_duration\""), r);
    add_duration(digits("\"eval_duration\""), r);
    read_usage(last_value(tail, "\"usage\""), r, true);
    return r;
}

}  // namespace gateway
