// Frames a piece of payload as one HTTP/1.1 chunk where it lies, so that it goes out in one
// contiguous write. Pure.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace gateway {

// What must be writable before and after a payload that is framed in place.
inline constexpr std::size_t frame_headroom = 16;  // 14 hex digits and CRLF
inline constexpr std::size_t frame_tailroom = 8;   // CRLF, and CRLF-ended last chunk: 7

// The payload as a chunk, with the last chunk after it when `last`: the whole frame, which begins
// before `payload` and ends after it. Nothing of 0 bytes is a chunk (that would end the message):
// it is the last chunk alone, or an empty range. `size` is under 2^56.
inline std::span<const char> frame_chunk_in_place(char* payload, std::size_t size, bool last)
{
    constexpr char digits[] = "0123456789abcdef";
    constexpr std::size_t end_size = 5;
    constexpr char end[] = "0\r\n\r\n";
    if (size == 0) {
        if (!last) {
            return {payload, std::size_t{0}};
        }
        std::memcpy(payload, end, end_size);
        return {payload, end_size};
    }
    char* begin = payload;
    *--begin = '\n';
    *--begin = '\r';
    for (std::size_t rest = size; rest != 0; rest >>= 4) {
        *--begin = digits[rest & 15];
    }
    char* tail = payload + size;
    *tail++ = '\r';
    *tail++ = '\n';
    if (last) {
        std::memcpy(tail, end, end_size);
        tail += end_size;
    }
    return {begin, static_cast<std::size_t>(tail - begin)};
}

}  // namespace gateway
