// Any answer, cut anywhere, reads and re-tells as it does whole. The first bytes choose framing,
// endpoint and cuts.
#include "stream/reader.hpp"
#include "stream/record.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace gateway;

namespace {

void require(bool holds)
{
    if (!holds) {
        std::abort();
    }
}

bool same(const stream_reader& a, const stream_reader& b)
{
    return a.complete() == b.complete() && a.error_seen() == b.error_seen() &&
           a.error_text() == b.error_text() && a.at_end() == b.at_end() &&
           a.mid_record() == b.mid_record() && a.records() == b.records() &&
           a.told().tokens.prompt_tokens == b.told().tokens.prompt_tokens &&
           a.told().tokens.completion_tokens == b.told().tokens.completion_tokens;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 3) {
        return 0;
    }
    auto f = static_cast<framing>(data[0] % 3);
    auto e = static_cast<endpoint>(data[1] % 13);
    std::size_t step = data[2] % 64 + 1u;
    std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);

    stream_reader whole(f, e);
    whole.feed(text);
    stream_reader pieces(f, e);
    ndjson_to_sse whole_teller;
    ndjson_to_sse piece_teller;
    std::string told_whole;
    std::string told_pieces;
    whole_teller.feed(text, told_whole);
    for (std::size_t at = 0; at < text.size(); at += step) {
        pieces.feed(text.substr(at, step));
        piece_teller.feed(text.substr(at, step), told_pieces);
    }
    require(same(whole, pieces));
    require(told_whole == told_pieces);
    whole.finish();
    pieces.finish();
    require(same(whole, pieces));
    whole_teller.flush(told_whole);
    piece_teller.flush(told_pieces);
    require(told_whole == told_pieces);
    require(told_whole.find('\r') == std::string::npos);
    require(whole.error_text().size() <= 4096);
    read_record_tail(text);
    return 0;
}
