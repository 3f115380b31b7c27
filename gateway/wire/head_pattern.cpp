#include "wire/head_pattern.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway {

namespace {

constexpr std::size_t longest = 4096;    // bytes of a head
constexpr std::size_t most_digits = 18;  // any so many fit into 64 bits

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// How many digits stand at the front.
std::size_t count_digits(std::string_view text)
{
    const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
    return static_cast<std::size_t>(end - text.begin());
}

// What stands after the colon of the line that tells the length; at the head's end when none does.
std::size_t find_length(std::string_view head)
{
    constexpr std::string_view name = "content-length:";
    for (std::size_t line = 0; line < head.size();) {
        if (istarts_with(head.substr(line), name)) {
            const auto value = head.find_first_not_of(" \t", line + name.size());
            return std::min(value, head.size());
        }
        const auto lf = head.find('\n', line);
        line = lf == std::string_view::npos ? head.size() : lf + 1;
    }
    return head.size();
}

}  // namespace

void head_pattern::keep(std::string_view head)
{
    forget();
    if (head.size() > longest) {
        return;
    }
    const auto at = find_length(head);
    const auto digits = count_digits(head.substr(at));
    if (at != head.size() && (digits == 0 || digits > most_digits)) {
        return;
    }
    text_ = head;
    digits_at_ = at;
    digits_ = digits;
}

std::optional<head_pattern::match> head_pattern::at_front(std::string_view bytes) const
{
    if (empty() || !bytes.starts_with(std::string_view(text_).substr(0, digits_at_))) {
        return std::nullopt;
    }
    if (digits_ == 0) {
        return match{text_.size(), {}};
    }
    const auto rest = bytes.substr(digits_at_);
    const auto digits = count_digits(rest.substr(0, most_digits + 1));
    if (digits == 0 || digits > most_digits ||
        !rest.substr(digits).starts_with(std::string_view(text_).substr(digits_at_ + digits_))) {
        return std::nullopt;
    }
    return match{text_.size() - digits_ + digits, rest.substr(0, digits)};
}

}  // namespace gateway
