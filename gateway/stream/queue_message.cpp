// Which language a waiting client is told in, and the text with its numbers.
#include "base/text.hpp"
#include "stream/frames.hpp"

#include <optional>

namespace gateway {

namespace {

// More wishes than anybody has languages are not looked at.
constexpr std::size_t most_ranges = 32;

// "0.8" → 800; a weight that is none counts as the whole.
unsigned weight(std::string_view q)
{
    if (q.empty() || q[0] != '0') {
        return 1000;
    }
    unsigned value = 0;
    unsigned unit = 100;
    for (char c : q.substr(q.size() > 1 ? 2 : 1)) {
        if (c < '0' || c > '9') {
            break;
        }
        value += static_cast<unsigned>(c - '0') * unit;
        unit /= 10;
    }
    return value;
}

// "de-CH" and "de" are the same language to us, whichever of the two is the longer.
bool same_language(std::string_view a, std::string_view b)
{
    if (a.size() > b.size()) {
        std::swap(a, b);
    }
    return !a.empty() && istarts_with(b, a) && (a.size() == b.size() || b[a.size()] == '-');
}

// The best of the catalogue for one range: the very tag, else the same language.
const message_text* find(const std::vector<message_text>& catalogue, std::string_view range)
{
    const message_text* near = nullptr;
    for (const auto& m : catalogue) {
        if (iequals(m.language, range)) {
            return &m;
        }
        if (near == nullptr && same_language(m.language, range)) {
            near = &m;
        }
    }
    return near;
}

const message_text* choose(const std::vector<message_text>& catalogue, std::string_view accept)
{
    const message_text* best = nullptr;
    unsigned best_weight = 0;
    for (std::size_t seen = 0; !accept.empty() && seen < most_ranges; ++seen) {
        auto comma = accept.find(',');
        auto item = accept.substr(0, comma);
        accept.remove_prefix(comma == std::string_view::npos ? accept.size() : comma + 1);
        auto semicolon = item.find(';');
        unsigned w = 1000;
        if (semicolon != std::string_view::npos) {
            auto parameter = trim(item.substr(semicolon + 1));
            if (istarts_with(parameter, "q=")) {
                w = weight(trim(parameter.substr(2)));
            }
        }
        const auto* found = find(catalogue, trim(item.substr(0, semicolon)));
        if (found != nullptr && w > best_weight) {
            best = found;
            best_weight = w;
        }
    }
    if (best == nullptr) {
        best = find(catalogue, "en");
    }
    return best != nullptr || catalogue.empty() ? best : &catalogue.front();
}

}  // namespace

std::string queue_message(const std::vector<message_text>& catalogue,
                          std::string_view accept_language, std::size_t position,
                          std::int64_t waited_seconds)
{
    constexpr std::string_view position_mark = "{position}";
    constexpr std::string_view seconds_mark = "{seconds}";
    const auto* chosen = choose(catalogue, accept_language);
    std::string_view text = chosen != nullptr ? std::string_view(chosen->text) : std::string_view();
    std::string out;
    while (!text.empty()) {
        if (text.starts_with(position_mark)) {
            out += std::to_string(position);
            text.remove_prefix(position_mark.size());
        } else if (text.starts_with(seconds_mark)) {
            out += std::to_string(waited_seconds);
            text.remove_prefix(seconds_mark.size());
        } else {
            auto next = text.find('{', 1);
            out += text.substr(0, next);
            text.remove_prefix(next == std::string_view::npos ? text.size() : next);
        }
    }
    return out;
}

}  // namespace gateway
