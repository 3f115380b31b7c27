// Any bytes as an upstream's answer, read as the exchange reads them, whole and in pieces: the same
// answer and the same end, exactly one of {no head, broken, cut, whole}; and a head that is safe to
// pass on. The first bytes choose the method, the endpoint and the pieces.
#include "base/text.hpp"
#include "stream/reader.hpp"
#include "upstream/answer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace gateway;

namespace {

constexpr std::size_t capacity = 16 * 1024;  // upstream_connection's

void require(bool holds)
{
    if (!holds) {
        std::abort();
    }
}

enum class end { no_head, broken, cut, whole };

struct story {
    end how = end::no_head;
    answer_head head;
    bool keep_alive = false;
    std::string body;
    bool complete = false;
    bool error_seen = false;

    bool operator==(const story& o) const
    {
        return how == o.how && head.status == o.head.status && head.reason == o.head.reason &&
               head.fields == o.head.fields && head.length == o.head.length &&
               keep_alive == o.keep_alive && body == o.body && complete == o.complete &&
               error_seen == o.error_seen;
    }
};

framing framing_of(const answer& a)
{
    if (istarts_with(a.head.content_type, "application/x-ndjson")) {
        return framing::ndjson;
    }
    return istarts_with(a.head.content_type, "text/event-stream") ? framing::sse
                                                                  : framing::one_piece;
}

// The connection gives `wire` in reads of at most `step` bytes, and then ends.
story live(answer_parser& heads, std::string_view wire, std::size_t step, bool to_head,
           endpoint where)
{
    story s;
    std::string have;
    auto read = [&](std::size_t room) {
        auto n = std::min({step, room, wire.size()});
        auto piece = wire.substr(0, n);
        wire.remove_prefix(n);
        return piece;
    };
    answer a;
    std::size_t looked = 0;  // where an end of the head may begin: not from the front for each byte
    for (;;) {
        if (auto at = have.find("\r\n\r\n", looked); at != have.npos) {
            auto parsed = heads.parse(std::string_view(have).substr(0, at + 4), to_head);
            if (!parsed) {
                require(parsed.error().code == fault_code::upstream_failed);
                s.how = end::broken;
                return s;
            }
            have.erase(0, at + 4);
            looked = 0;
            if (parsed->interim) {
                require(parsed->head.status >= 100 && parsed->head.status != 101);
                continue;
            }
            a = std::move(*parsed);
            break;
        }
        looked = have.size() < 3 ? 0 : have.size() - 3;
        if (have.size() == capacity) {
            s.how = end::broken;
            return s;
        }
        auto piece = read(capacity - have.size());
        if (piece.empty()) {
            return s;
        }
        have += piece;
    }
    s.head = a.head;
    s.keep_alive = a.keep_alive;
    stream_reader reader(framing_of(a), where);
    s.how = end::cut;
    bool until_close = a.body.ends_with_connection() && !a.body.done();
    while (!a.body.done()) {
        if (have.empty()) {
            have = read(capacity);
            if (have.empty()) {
                break;
            }
        }
        auto taken = a.body.decode(std::span(have.data(), have.size()));
        require(taken.payload <= taken.consumed && taken.consumed <= have.size());
        s.body.append(have, 0, taken.payload);
        reader.feed(std::string_view(have).substr(0, taken.payload));
        if (taken.bad) {
            s.how = end::broken;
            break;
        }
        require(taken.done || taken.consumed == have.size());
        have.clear();
    }
    if (a.body.done() || (until_close && s.how == end::cut)) {
        s.how = end::whole;
        reader.finish();
    }
    s.complete = reader.complete();
    s.error_seen = reader.error_seen();
    return s;
}

bool is_text(std::string_view line)
{
    return std::all_of(line.begin(), line.end(), [](char c) {
        auto byte = static_cast<unsigned char>(c);
        return (byte >= 0x20 || c == '\t') && byte != 0x7f;
    });
}

// What is passed on cannot be taken for more lines than it is, nor speak of our own connection.
void check_head(const answer_head& h)
{
    require(h.status >= 200 && h.status <= 599);
    require(is_text(h.reason));
    for (std::string_view rest = h.fields; !rest.empty();) {
        auto line_end = rest.find("\r\n");
        require(line_end != rest.npos);
        auto line = rest.substr(0, line_end);
        rest.remove_prefix(line_end + 2);
        auto colon = line.find(": ");
        require(colon != line.npos && colon != 0 && is_text(line));
        for (const char* ours : {"Connection", "Content-Length", "Transfer-Encoding", "Trailer",
                                 "Upgrade", "Keep-Alive", "X-Request-Id"}) {
            require(!iequals(line.substr(0, colon), ours));
        }
        require(!istarts_with(line, "X-Gateway-") && !istarts_with(line, "Access-Control-"));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 2) {
        return 0;
    }
    bool to_head = data[0] % 16 == 0;
    auto where = static_cast<endpoint>(data[0] / 16 % 13);
    std::string_view wire(reinterpret_cast<const char*>(data) + 2, size - 2);
    answer_parser heads;  // the later ones meet a head that is known
    auto whole = live(heads, wire, wire.size(), to_head, where);
    if (whole.how == end::cut || whole.how == end::whole) {
        check_head(whole.head);
        require(!whole.head.length || whole.head.no_body ||
                whole.body.size() <= *whole.head.length);
        require(whole.how != end::whole || !whole.head.length || whole.head.no_body ||
                whole.body.size() == *whole.head.length);
        require(!whole.head.no_body || whole.body.empty());
    }
    for (std::size_t step : {std::size_t{1}, std::size_t{data[1]} + 2}) {
        if (step != 1 || size <= 4096) {
            require(live(heads, wire, step, to_head, where) == whole);
        }
    }
    return 0;
}
