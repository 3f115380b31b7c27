// What `ollama-gateway top` shows: a status (SPEC §A) as lines of a terminal. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway::top {

enum class look : std::uint8_t { plain, title, heading, runs, waits, wrong, quiet };

struct line {
    std::string text;  // UTF-8 without control characters, at most as many characters as asked for
    look as = look::plain;
};

// `height` 0: as many lines as there is to say. A status that is none gives one line that says so.
std::vector<line> draw(std::string_view status, std::size_t width, std::size_t height);

// The lines as bytes for a terminal; with `color` each in its colour, and each ending in the bytes
// `end`.
std::string paint(const std::vector<line>& lines, bool color, std::string_view end);

// "250 ms", "4.2 s", "3 min 20 s", "2 h 5 min".
std::string span(double ms);

}  // namespace gateway::top
