#include "jobs/answer_events.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway {

namespace {

std::string_view next_line(std::string_view& text)
{
    auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    while (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
    return line;
}

// SSE ends a line at a bare CR too: in JSON it is white space like any other.
void append_line(std::string& out, std::string_view field, std::string_view value)
{
    out += field;
    for (char c : value)
        out += c == '\r' ? ' ' : c;
    out += '\n';
}

}  // namespace

std::string to_text(const event_id& id)
{
    return std::to_string(id.run) + "." + std::to_string(id.at) + (id.end ? ".end" : "");
}

std::optional<event_id> event_id_of(std::string_view text)
{
    auto parts = split(text, '.');
    if (parts.size() < 2 || parts.size() > 3 || (parts.size() == 3 && parts[2] != "end"))
        return std::nullopt;
    auto run = parse_uint(parts[0], UINT32_MAX);
    auto at = parse_uint(parts[1], INT64_MAX);
    if (!run || !at)
        return std::nullopt;
    return event_id{static_cast<unsigned>(*run), *at, parts.size() == 3};
}

answer_events::answer_events(std::string_view content_type, event_id from)
    : shape_(istarts_with(content_type, "application/x-ndjson") ? shape::lines
             : istarts_with(content_type, "text/event-stream")  ? shape::events
                                                                : shape::whole),
      id_(from)
{
    id_.end = false;
}

// Where the record ends that stands at `begin`; 0: not whole yet. Newlines before looked_ end none.
std::size_t answer_events::record_end(std::size_t begin) const
{
    if (shape_ == shape::whole)
        return 0;
    for (auto from = std::max(begin, looked_);;) {
        auto newline = carry_.find('\n', from);
        if (newline == std::string::npos)
            return 0;
        auto before = newline;
        while (before > begin && carry_[before - 1] == '\r')
            --before;
        bool blank = before == begin || carry_[before - 1] == '\n';
        if (shape_ == shape::lines || blank)
            return newline + 1;
        from = newline + 1;
    }
}

void answer_events::feed(std::string_view bytes, std::string& out)
{
    carry_ += bytes;
    std::size_t begin = 0;
    for (auto end = record_end(begin); end != 0; end = record_end(begin)) {
        id_.at += end - begin;
        tell(std::string_view(carry_).substr(begin, end - begin), out);
        begin = end;
    }
    carry_.erase(0, begin);
    looked_ = carry_.size();
}

void answer_events::finish(std::string& out)
{
    if (carry_.empty())
        return;
    id_.at += carry_.size();
    tell(carry_, out);
    carry_.clear();
    looked_ = 0;
}

void answer_events::tell(std::string_view record, std::string& out) const
{
    if (trim(record).empty())
        return;
    out.append("id: ").append(to_text(id_)).append("\n");
    if (shape_ == shape::lines) {
        append_line(out, "data: ", trim(record));
    } else {
        while (!record.empty()) {
            auto line = next_line(record);
            if (shape_ == shape::whole)
                append_line(out, "data: ", line);
            else if (!line.empty() && !line.starts_with("id"))
                append_line(out, "", line);
        }
    }
    out += '\n';
}

}  // namespace gateway
