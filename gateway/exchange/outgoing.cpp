#include "exchange/outgoing.hpp"

#include "base/text.hpp"
#include "downstream/zstd_body.hpp"

#include <algorithm>

namespace gateway {

namespace {

constexpr std::string_view encoding = "Content-Encoding:";

// The header lines without those that name the encoding.
std::string unencoded(std::string_view fields)
{
    std::string kept;
    kept.reserve(fields.size());
    while (!fields.empty()) {
        auto end = fields.find("\r\n");
        auto line = fields.substr(0, end == std::string_view::npos ? fields.size() : end + 2);
        if (!istarts_with(line, encoding))
            kept += line;
        fields.remove_prefix(line.size());
    }
    return kept;
}

}  // namespace

outgoing outgoing_with(const call& c, const body_edits& edits)
{
    if (!c.packed)
        return {edited(c.body, c.facts, edits), c.fields};
    auto plain = unpack_zstd(c.body);
    // It was unpacked once before: what fails now goes as it is, and Ollama says why.
    if (!plain)
        return {c.body, c.fields};
    auto facts = c.facts;
    facts.size = plain->size();
    return {edited(*plain, facts, edits), unencoded(c.fields)};
}

std::string kept_alive(const call& c, const body_edits& edits)
{
    if (edits.keep_alive)
        return *edits.keep_alive;
    if (c.facts.keep == keep_alive::absent || c.words != dialect::native)
        return "null";
    auto at = c.facts.keep_alive_value;
    return c.body.substr(at.begin, at.end - at.begin);
}

bool is_header_text(std::string_view text)
{
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char b) { return b > ' ' && b < 0x7f; });
}

}  // namespace gateway
