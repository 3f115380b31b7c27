// A strict walk over one JSON text: says where values stand, builds nothing, copies nothing.
// Nesting is bounded, time is linear, memory constant, whatever the bytes are. As lenient as Go's
// decoder about UTF-8 inside strings (Ollama replaces what is invalid), strict about everything
// else. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gateway {

class json_cursor {
public:
    static constexpr unsigned max_depth = 64;

    explicit json_cursor(std::string_view text)
        : begin_(text.data()), at_(text.data()), end_(text.data() + text.size())
    {
    }

    std::size_t at() const { return static_cast<std::size_t>(at_ - begin_); }

    // The first mistake: what was wrong, and where (at()). nullptr while all is well. After a
    // mistake every step returns false.
    const char* wrong() const { return wrong_; }

    // The first byte of what follows the white space; '\0' at the end of the text.
    char peek()
    {
        // Mostly there is none.
        return at_ != end_ && static_cast<unsigned char>(*at_) > ' ' ? *at_ : skip_space();
    }

    // Over one whole value of any kind.
    bool skip();

    // Over one string; `raw` is what stands between its quotes, escapes not resolved.
    bool string(std::string_view& raw);

    // Over one object: on_member(raw key) stands before the value and must step over it; it returns
    // false to stop.
    template <class OnMember>
    bool each_member(OnMember&& on_member)
    {
        if (!enter('{')) {
            return false;
        }
        for (bool first = true;; first = false) {
            std::string_view key;
            switch (next('}', first)) {
                case step::closed: return true;
                case step::bad: return false;
                case step::item: break;
            }
            if (!string(key) || !colon() || !on_member(key)) {
                return false;
            }
        }
    }

    // Over one array: on_element() stands before each element and must step over it; it returns
    // false to stop.
    template <class OnElement>
    bool each_element(OnElement&& on_element)
    {
        if (!enter('[')) {
            return false;
        }
        for (bool first = true;; first = false) {
            switch (next(']', first)) {
                case step::closed: return true;
                case step::bad: return false;
                case step::item: break;
            }
            if (!on_element()) {
                return false;
            }
        }
    }

private:
    enum class step : std::uint8_t { item, closed, bad };

    bool fail(const char* why);
    char skip_space();
    bool enter(char bracket);
    step next(char closing, bool first);
    bool colon();
    bool skip_string();
    bool skip_escape();
    bool skip_number();
    bool skip_word(std::string_view word);

    const char* begin_;
    const char* at_;
    const char* end_;
    const char* wrong_ = nullptr;
    unsigned depth_ = 0;
};

// The text that a raw string (json_cursor::string) stands for, as Go's decoder reads it: escapes
// are resolved, lone surrogates become U+FFFD; other bytes are copied as they are.
std::string json_unescape(std::string_view raw);

}  // namespace gateway
