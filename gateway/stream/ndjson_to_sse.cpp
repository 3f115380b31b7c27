// NDJSON re-told as SSE, line by line.
#include "stream/reader.hpp"

#include <algorithm>

namespace gateway {

namespace {

std::string_view without_trailing_space(std::string_view s)
{
    return s.substr(0, s.find_last_not_of(" \t\r") + 1);
}

}  // namespace

void ndjson_to_sse::feed(std::string_view piece, std::string& out)
{
    while (!piece.empty()) {
        if (carry_.empty() && !telling_) {
            // White space before a record and blank lines say nothing.
            auto begin = piece.find_first_not_of(" \t\r\n");
            if (begin == std::string_view::npos) {
                return;
            }
            piece.remove_prefix(begin);
        }
        auto newline = piece.find('\n');
        auto part = piece.substr(0, newline);
        bool whole = newline != std::string_view::npos;
        if (telling_) {
            tell(part, out);
        } else if (whole && carry_.empty()) {
            tell(without_trailing_space(part), out);
        } else if (carry_.size() + part.size() <= longest_record) {
            carry_ += part;
        } else {
            tell(carry_, out);
            tell(part, out);
            carry_ = std::string();
        }
        if (!whole) {
            return;
        }
        end_line(out);
        piece.remove_prefix(newline + 1);
    }
}

void ndjson_to_sse::flush(std::string& out)
{
    if (telling_ || !carry_.empty()) {
        end_line(out);
    }
}

void ndjson_to_sse::tell(std::string_view part, std::string& out)
{
    if (!telling_) {
        out += "data: ";
        telling_ = true;
    }
    auto from = out.size();
    out += part;
    // SSE ends a line at a bare CR too; in JSON it is white space like any other.
    std::replace(out.begin() + static_cast<std::ptrdiff_t>(from), out.end(), '\r', ' ');
}

void ndjson_to_sse::end_line(std::string& out)
{
    if (!carry_.empty()) {
        tell(without_trailing_space(carry_), out);
        carry_.clear();
    }
    out += "\n\n";
    telling_ = false;
}

}  // namespace gateway
