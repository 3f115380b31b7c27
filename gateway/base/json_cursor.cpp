// The walk of json_cursor.hpp.
#include "base/json_cursor.hpp"

#ifdef __SSE2__
#include <emmintrin.h>

#include <bit>
#endif

namespace gateway {

namespace {

constexpr bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

constexpr bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

constexpr int hex_digit(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The four digits of \uXXXX; -1 when they are none.
int hex_unit(const char* p, const char* end)
{
    if (end - p < 4) {
        return -1;
    }
    int unit = 0;
    for (int i = 0; i < 4; ++i) {
        const int digit = hex_digit(p[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

// The first quote, backslash or control character.
const char* end_of_plain(const char* p, const char* end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i last_control = _mm_set1_epi8(0x1f);
    for (; end - p >= 16; p += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        const __m128i special = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)),
            _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes));
        const auto mask = static_cast<unsigned>(_mm_movemask_epi8(special));
        if (mask != 0) {
            return p + std::countr_zero(mask);
        }
    }
#endif
    while (p != end && *p != '"' && *p != '\\' && static_cast<unsigned char>(*p) >= 0x20) {
        ++p;
    }
    return p;
}

void append_utf8(std::string& to, std::uint32_t c)
{
    const auto byte = [&](std::uint32_t b) { to += static_cast<char>(b); };
    if (c < 0x80) {
        byte(c);
    } else if (c < 0x800) {
        byte(0xC0 | c >> 6);
        byte(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        byte(0xE0 | c >> 12);
        byte(0x80 | (c >> 6 & 0x3F));
        byte(0x80 | (c & 0x3F));
    } else {
        byte(0xF0 | c >> 18);
        byte(0x80 | (c >> 12 & 0x3F));
        byte(0x80 | (c >> 6 & 0x3F));
        byte(0x80 | (c & 0x3F));
    }
}

}  // namespace

bool json_cursor::fail(const char* why)
{
    if (wrong_ == nullptr) {
        wrong_ = at_ == end_ ? "unexpected end" : why;
    }
    return false;
}

char json_cursor::skip_space()
{
    while (at_ != end_ && is_space(*at_)) {
        ++at_;
    }
    return at_ == end_ ? '\0' : *at_;
}

bool json_cursor::enter(char bracket)
{
    if (wrong_ != nullptr || peek() != bracket) {
        return fail(bracket == '{' ? "expected an object" : "expected an array");
    }
    if (depth_ == max_depth) {
        return fail("nested too deep");
    }
    ++depth_;
    ++at_;
    return true;
}

json_cursor::step json_cursor::next(char closing, bool first)
{
    const char c = peek();
    if (c == closing) {
        ++at_;
        --depth_;
        return step::closed;
    }
    if (first) {
        return step::item;
    }
    if (c != ',') {
        fail("expected ',' or a closing bracket");
        return step::bad;
    }
    ++at_;
    return step::item;
}

bool json_cursor::colon()
{
    if (peek() != ':') {
        return fail("expected ':'");
    }
    ++at_;
    return true;
}

bool json_cursor::string(std::string_view& raw)
{
    if (wrong_ != nullptr || peek() != '"') {
        return fail("expected a string");
    }
    const char* const from = at_ + 1;
    if (!skip_string()) {
        return false;
    }
    raw = {from, static_cast<std::size_t>(at_ - 1 - from)};
    return true;
}

bool json_cursor::skip_string()
{
    ++at_;
    for (;;) {
        at_ = end_of_plain(at_, end_);
        if (at_ == end_) {
            return fail("");
        }
        if (*at_ == '"') {
            ++at_;
            return true;
        }
        if (*at_ != '\\') {
            return fail("control character in a string");
        }
        if (!skip_escape()) {
            return false;
        }
    }
}

bool json_cursor::skip_escape()
{
    ++at_;
    if (at_ == end_) {
        return fail("");
    }
    switch (*at_) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't': ++at_; return true;
        case 'u':
            if (hex_unit(at_ + 1, end_) < 0) {
                return fail("bad escape in a string");
            }
            at_ += 5;
            return true;
        default: return fail("bad escape in a string");
    }
}

bool json_cursor::skip_number()
{
    const auto digits = [this] {
        const char* const from = at_;
        while (at_ != end_ && is_digit(*at_)) {
            ++at_;
        }
        return at_ != from;
    };
    if (*at_ == '-') {
        ++at_;
    }
    if (at_ != end_ && *at_ == '0') {
        ++at_;
    } else if (!digits()) {
        return fail("bad number");
    }
    if (at_ != end_ && *at_ == '.') {
        ++at_;
        if (!digits()) {
            return fail("bad number");
        }
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
        ++at_;
        if (at_ != end_ && (*at_ == '+' || *at_ == '-')) {
            ++at_;
        }
        if (!digits()) {
            return fail("bad number");
        }
    }
    return true;
}

bool json_cursor::skip_word(std::string_view word)
{
    const auto left = static_cast<std::size_t>(end_ - at_);
    if (std::string_view(at_, left < word.size() ? left : word.size()) != word) {
        return fail("expected a value");
    }
    at_ += word.size();
    return true;
}

bool json_cursor::skip()
{
    // Bit n says whether the n-th container from the inside is an object: no recursion, no
    // allocation.
    std::uint64_t objects = 0;
    const unsigned outside = depth_;
    bool before_key = false;
    if (wrong_ != nullptr) {
        return false;
    }
    for (;;) {
        char c = peek();
        if (before_key) {
            if (c != '"') {
                return fail("expected a string");
            }
            if (!skip_string() || !colon()) {
                return false;
            }
            c = peek();
        }
        bool stepped = false;
        switch (c) {
            case '"': stepped = skip_string(); break;
            case '{':
            case '[': {
                if (!enter(c)) {
                    return false;
                }
                objects = objects << 1 | (c == '{' ? 1 : 0);
                if (peek() != (c == '{' ? '}' : ']')) {
                    before_key = c == '{';
                    continue;
                }
                stepped = true;  // its closing bracket is met below
                break;
            }
            case 't': stepped = skip_word("true"); break;
            case 'f': stepped = skip_word("false"); break;
            case 'n': stepped = skip_word("null"); break;
            default:
                stepped = c == '-' || is_digit(c) ? skip_number() : fail("expected a value");
                break;
        }
        if (!stepped) {
            return false;
        }
        for (;;) {
            if (depth_ == outside) {
                return true;
            }
            const bool in_object = (objects & 1) != 0;
            c = peek();
            if (c == (in_object ? '}' : ']')) {
                ++at_;
                --depth_;
                objects >>= 1;
                continue;
            }
            if (c != ',') {
                return fail("expected ',' or a closing bracket");
            }
            ++at_;
            before_key = in_object;
            break;
        }
    }
}

std::string json_unescape(std::string_view raw)
{
    if (raw.find('\\') == std::string_view::npos) {
        return std::string(raw);
    }
    std::string text;
    text.reserve(raw.size());
    const char* p = raw.data();
    const char* const end = p + raw.size();
    while (p != end) {
        if (*p != '\\' || end - p < 2) {
            text += *p++;
            continue;
        }
        const char kind = p[1];
        p += 2;
        switch (kind) {
            case 'b': text += '\b'; break;
            case 'f': text += '\f'; break;
            case 'n': text += '\n'; break;
            case 'r': text += '\r'; break;
            case 't': text += '\t'; break;
            case 'u': {
                const int unit = hex_unit(p, end);
                if (unit < 0) {
                    break;
                }
                p += 4;
                auto c = static_cast<std::uint32_t>(unit);
                if (c >= 0xD800 && c <= 0xDFFF) {
                    const bool paired = end - p >= 6 && p[0] == '\\' && p[1] == 'u';
                    const int low = paired ? hex_unit(p + 2, end) : -1;
                    if (c <= 0xDBFF && low >= 0xDC00 && low <= 0xDFFF) {
                        c = 0x10000 + ((c - 0xD800) << 10) +
                            (static_cast<std::uint32_t>(low) - 0xDC00);
                        p += 6;
                    } else {
                        c = 0xFFFD;
                    }
                }
                append_utf8(text, c);
                break;
            }
            default: text += kind; break;
        }
    }
    return text;
}

}  // namespace gateway
