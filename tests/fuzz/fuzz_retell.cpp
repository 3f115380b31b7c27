// NDJSON re-told as server-sent events, against a reader of events that knows nothing of it: one
// event per line, with that line as its data; and an error that comes in the middle is an event of
// its own. The first bytes choose the pieces, where it is cut, and what then comes.
#include "stream/frames.hpp"
#include "stream/reader.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

using namespace gateway;

namespace {

void require(bool holds)
{
    if (!holds) {
        std::abort();
    }
}

struct event_read {
    std::string name;
    std::string data;
};

// As the HTML standard reads an event stream. What no blank line ends is no event.
std::vector<event_read> events_of(std::string_view text)
{
    std::vector<event_read> all;
    event_read now;
    bool has_data = false;
    while (!text.empty()) {
        auto at = text.find_first_of("\r\n");
        if (at == text.npos) {
            break;
        }
        auto line = text.substr(0, at);
        text.remove_prefix(text.substr(at).starts_with("\r\n") ? at + 2 : at + 1);
        if (line.empty()) {
            if (has_data) {
                all.push_back(now);
            }
            now = {};
            has_data = false;
        } else if (line.starts_with("data:")) {
            line.remove_prefix(line.starts_with("data: ") ? 6 : 5);
            now.data.append(has_data ? "\n" : "").append(line);
            has_data = true;
        } else if (line.starts_with("event: ")) {
            now.name = line.substr(7);
        } else {
            require(line.starts_with(":"));
        }
    }
    return all;
}

std::string_view trimmed(std::string_view line)
{
    auto from = line.find_first_not_of(" \t\r");
    if (from == line.npos) {
        return {};
    }
    return line.substr(from, line.find_last_not_of(" \t\r") - from + 1);
}

// The records of a text; the last only when `all`, or when a newline ends it.
std::vector<std::string> records_of(std::string_view text, bool all)
{
    std::vector<std::string> found;
    while (!text.empty()) {
        auto at = text.find('\n');
        if (at == text.npos && !all) {
            break;
        }
        auto line = std::string(trimmed(text.substr(0, at)));
        std::replace(line.begin(), line.end(), '\r', ' ');
        if (!line.empty()) {
            found.push_back(line);
        }
        text.remove_prefix(at == text.npos ? text.size() : at + 1);
    }
    return found;
}

void check(const std::vector<event_read>& events, const std::vector<std::string>& records)
{
    require(events.size() == records.size());
    for (std::size_t i = 0; i < events.size(); ++i) {
        require(events[i].name.empty() && events[i].data == records[i]);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 3) {
        return 0;
    }
    std::size_t step = data[0] + 1u;
    std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);

    ndjson_to_sse teller;
    std::string told;
    for (std::size_t at = 0; at < text.size(); at += step) {
        teller.feed(text.substr(at, step), told);
    }
    teller.flush(told);
    check(events_of(told), records_of(text, true));

    // The upstream breaks after some of it.
    auto until = text.substr(0, text.size() * data[1] / 255);
    ndjson_to_sse cut;
    told.clear();
    cut.feed(until, told);
    auto before = records_of(until, false);
    bool mid_line = !told.empty() && !told.ends_with("\n\n");
    fault f{fault_code::upstream_failed, std::string(text.substr(0, 50)), whose::upstream,
            retry::no, 0};
    auto where = data[2] % 2 == 0 ? endpoint::chat : endpoint::generate;
    if (data[2] % 3 == 0) {
        told += upstream_error_in_band(500 + data[2] % 10, text, where, dialect::native,
                                       shape::native_sse, {});
    } else {
        told += error_in_band(f, where, dialect::native, shape::native_sse, {}, mid_line);
    }
    auto events = events_of(told);
    require(events.size() == before.size() + 1);
    auto last = events.back();
    events.pop_back();
    check(events, before);
    require(last.name == "error");
    auto parsed = nlohmann::json::parse(last.data, nullptr, false);
    require(!parsed.is_discarded() && parsed.is_object() && parsed.contains("error") &&
            parsed.contains("http_status"));
    return 0;
}
