// Chunks framed where the payload lies.
#include "wire/chunk_frame.hpp"

#include "wire/body_decoder.hpp"

#include "catch.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

using namespace gateway;

namespace {

std::string framed(std::string_view payload, bool last)
{
    // Exactly the room that is promised, so that a sanitizer sees a byte too many.
    std::vector<char> room(frame_headroom + payload.size() + frame_tailroom);
    std::copy(payload.begin(), payload.end(), room.begin() + frame_headroom);
    auto frame = frame_chunk_in_place(room.data() + frame_headroom, payload.size(), last);
    return {frame.begin(), frame.end()};
}

}  // namespace

TEST_CASE("a payload framed in place is one chunk, and the last one carries the end")
{
    CHECK(framed("hello", false) == "5\r\nhello\r\n");
    CHECK(framed("hello", true) == "5\r\nhello\r\n0\r\n\r\n");
    CHECK(framed(std::string(16, 'x'), false) == "10\r\nxxxxxxxxxxxxxxxx\r\n");
    CHECK(framed(std::string(0xabc, 'x'), false).substr(0, 5) == "abc\r\n");
    CHECK(framed("", true) == "0\r\n\r\n");
    CHECK(framed("", false).empty());
}

TEST_CASE("what is framed in place is decoded to what it was")
{
    for (std::size_t size : {1, 2, 15, 16, 17, 255, 256, 4095, 4096, 70'000}) {
        std::string payload(size, '\r');
        auto wire = framed(payload, true);
        auto decoder = body_decoder::chunked();
        auto step = decoder.decode(wire);
        CHECK(step.done);
        CHECK(step.consumed == wire.size());
        CHECK(wire.substr(0, step.payload) == payload);
    }
}
