// A body's framing, decoded whole and byte by byte: the same payload, the same end, nothing past
// it.
#include "wire/body_decoder.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using gateway::body_decoder;

namespace {

struct result {
    std::string payload;
    std::size_t consumed = 0;
    bool done = false;
    bool bad = false;
};

result decode(body_decoder decoder, const char* data, std::size_t size, std::size_t step_size)
{
    result r;
    r.done = decoder.done();
    for (std::size_t at = 0; at < size && !r.done && !r.bad; at += step_size) {
        std::vector<char> piece(data + at, data + at + std::min(step_size, size - at));
        auto step = decoder.decode(piece);
        if (step.payload > step.consumed || step.consumed > piece.size() ||
            (step.done && step.bad) || (!step.done && !step.bad && step.consumed != piece.size())) {
            std::abort();
        }
        r.payload.append(piece.data(), step.payload);
        r.consumed += step.consumed;
        r.done = step.done;
        r.bad = step.bad;
    }
    return r;
}

body_decoder chosen(std::uint8_t how)
{
    switch (how % 8) {
        case 0: return body_decoder::of_length(how / 8);
        case 1: return body_decoder::until_close();
        default: return body_decoder::chunked();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 2) {
        return 0;
    }
    const char* wire = reinterpret_cast<const char*>(data) + 2;
    auto whole = decode(chosen(data[0]), wire, size - 2, size);
    for (std::size_t step : {std::size_t{1}, std::size_t{data[1]} + 1}) {
        auto pieces = decode(chosen(data[0]), wire, size - 2, step);
        if (pieces.payload != whole.payload || pieces.done != whole.done ||
            pieces.bad != whole.bad || (!whole.bad && pieces.consumed != whole.consumed)) {
            std::abort();
        }
    }
    return 0;
}
