// The answers in what a session's client was sent, read strictly: what is none aborts.
#pragma once

#include "base/text.hpp"
#include "require.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// One answer as a client reads it.
struct answer_read {
    std::string id;
    bool complete = false;
    bool told_by_framing = false;  // a cut shows in the bytes, not only in how the connection ends
};

inline std::string_view field_of(std::string_view head, std::string_view name)
{
    for (auto line : split(head, '\n')) {
        if (istarts_with(line, name))
            return trim(line.substr(name.size()));
    }
    return {};
}

// The chunks of `rest`, to the last; false when it does not come.
inline bool take_chunks(std::string_view& rest)
{
    for (;;) {
        auto line = rest.find("\r\n");
        if (line == rest.npos)
            return false;
        std::size_t size = 0;
        require(line != 0 && line <= 16);
        for (char c : rest.substr(0, line)) {
            require((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
            size = size * 16 + static_cast<std::size_t>(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        if (rest.size() < line + 2 + size + 2)
            return false;
        require(rest.substr(line + 2 + size, 2) == "\r\n");
        rest.remove_prefix(line + 2 + size + 2);
        if (size == 0)
            return true;
    }
}

inline std::vector<answer_read> answers_in(std::string_view rest)
{
    std::vector<answer_read> all;
    while (!rest.empty()) {
        auto end = rest.find("\r\n\r\n");
        if (end == rest.npos) {
            require(std::string_view("HTTP/1.").starts_with(rest.substr(0, 7)) ||
                    rest.starts_with("HTTP/1."));
            break;
        }
        auto head = rest.substr(0, end + 2);
        require(head.starts_with("HTTP/1.1 ") || head.starts_with("HTTP/1.0 "));
        rest.remove_prefix(end + 4);
        auto status = head.substr(9, 3);
        if (status == "100")
            continue;
        answer_read a;
        a.id = field_of(head, "X-Request-Id:");
        auto length = field_of(head, "Content-Length:");
        a.told_by_framing = true;
        if (status == "204") {
            a.complete = true;
        } else if (!field_of(head, "Transfer-Encoding:").empty()) {
            require(length.empty() && head.starts_with("HTTP/1.1"));
            a.complete = take_chunks(rest);
        } else if (!length.empty()) {
            auto size = parse_uint(length);
            require(size.has_value());
            a.complete = rest.size() >= *size;
            rest.remove_prefix(std::min<std::size_t>(rest.size(), *size));
        } else {
            a.told_by_framing = false;
            rest = {};
        }
        all.push_back(a);
        if (!a.complete)
            break;
    }
    return all;
}

}  // namespace gateway
