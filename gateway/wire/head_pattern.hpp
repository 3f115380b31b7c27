// One head, to know others by that say the same but for the digits of their Content-Length: what a
// client sends next on its connection, and an upstream answers next, mostly is one. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

class head_pattern {
public:
    // `head` is whole, its empty line included, and was parsed without a fault. One that is long,
    // or whose length is not told in plain digits, is no pattern.
    void keep(std::string_view head);
    void forget() { text_.clear(); }
    bool empty() const { return text_.empty(); }

    struct match {
        std::size_t size;         // bytes, of the head
        std::string_view length;  // the digits of its Content-Length; empty: it has none
    };
    // Such a head at the front of `bytes`, and all of it. To parse it would give what the kept one
    // gave, but for its length.
    std::optional<match> at_front(std::string_view bytes) const;

private:
    std::string text_;
    std::size_t digits_at_ = 0;  // where they stand in text_; at its end: nowhere
    std::size_t digits_ = 0;     // how many
};

}  // namespace gateway
