// How a message body ends: by length, by chunks, by the connection's end. Takes the framing off in
// place, strictly: what is ambiguous is bad. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gateway {

class body_decoder {
public:
    struct step {
        std::size_t payload = 0;   // bytes of payload, now at the front of the given range
        std::size_t consumed = 0;  // bytes of the range that belong to this message
        bool done = false;         // the message has ended; the rest of the range is not ours
        bool bad = false;          // the framing is broken; nothing more may be decoded
    };

    static body_decoder none();
    static body_decoder of_length(std::uint64_t length);
    static body_decoder chunked();
    static body_decoder until_close();

    // Moves the payload in `raw` to its front. Until the message ends all of `raw` is consumed:
    // state is kept between calls, so a read may be cut anywhere. What came before the bad byte is
    // still payload. Bad are: a chunk size of no digit, over 16 digits or over 2^60, white space
    // around it, a bare CR or LF, an extension over 256 bytes, with a control character or an open
    // quote, a trailer that is no field, a trailer section over 8 KiB in all, and framing that
    // outweighs what it frames (one byte per chunk with extensions: reliability.md D13).
    step decode(std::span<char> raw);

    // The connection has ended: was that the end of the message?
    bool ends_with_connection() const;

    bool done() const { return state_ == state::done; }

    // What is still to come of a body of known length; 0 for the others.
    std::uint64_t remaining() const;

private:
    enum class state : std::uint8_t {
        length,
        until_close,
        size_first,  // at the first digit of a chunk's size
        size,
        extension,
        extension_quoted,
        extension_escape,  // after a backslash in quotes
        size_lf,
        data,
        data_cr,
        data_lf,
        trailer_start,
        trailer_name,
        trailer_value,
        trailer_lf,
        end_lf,
        done,
        bad,
    };

    const char* take_data(const char* in, const char* end, char*& out);
    void take_control(char c);
    void end_size_line();

    state state_ = state::done;
    std::uint8_t digits_ = 0;      // of the size being read
    std::uint16_t extension_ = 0;  // bytes of the extension being read
    std::uint16_t trailer_ = 0;    // bytes of the trailer section so far
    std::uint64_t left_ = 0;       // of the chunk, or of the whole body of known length
    std::uint64_t payload_ = 0;    // bytes announced by all chunks so far
    std::uint64_t overhead_ = 0;   // bytes of their framing
};

}  // namespace gateway
