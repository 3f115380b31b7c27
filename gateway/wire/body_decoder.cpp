// Takes the framing off a message body. Data goes by in one memmove per chunk; only size lines and
// trailers are looked at byte by byte.
#include "wire/body_decoder.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace gateway {

namespace {

constexpr std::uint8_t longest_size = 16;  // digits, leading zeros too
constexpr std::uint64_t largest_chunk = std::uint64_t{1} << 60;
constexpr std::uint16_t longest_extension = 256;
constexpr std::uint16_t longest_trailer = 8 * 1024;

// One-byte chunks with a padded size still pass: framing may be 16 times the payload, and a little.
constexpr std::uint64_t free_overhead = 16 * 1024;
constexpr std::uint64_t overhead_per_byte = 16;

constexpr std::uint8_t no_digit = 255;

constexpr std::array<std::uint8_t, 256> hex_values = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(no_digit);
    for (unsigned i = 0; i < 10; ++i) {
        values['0' + i] = static_cast<std::uint8_t>(i);
    }
    for (unsigned i = 0; i < 6; ++i) {
        values['a' + i] = values['A' + i] = static_cast<std::uint8_t>(10 + i);
    }
    return values;
}();

std::uint8_t hex_value(char c)
{
    return hex_values[static_cast<unsigned char>(c)];
}

bool is_control(char c)
{
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
}

bool is_token(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) {
        return true;
    }
    return c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr;
}

}  // namespace

body_decoder body_decoder::none()
{
    return {};
}

body_decoder body_decoder::of_length(std::uint64_t length)
{
    body_decoder d;
    d.left_ = length;
    d.state_ = length == 0 ? state::done : state::length;
    return d;
}

body_decoder body_decoder::chunked()
{
    body_decoder d;
    d.state_ = state::size_first;
    return d;
}

body_decoder body_decoder::until_close()
{
    body_decoder d;
    d.state_ = state::until_close;
    return d;
}

bool body_decoder::ends_with_connection() const
{
    return state_ == state::until_close || state_ == state::done;
}

std::uint64_t body_decoder::remaining() const
{
    return state_ == state::length ? left_ : 0;
}

body_decoder::step body_decoder::decode(std::span<char> raw)
{
    switch (state_) {
        case state::done: return {0, 0, true, false};
        case state::bad: return {0, 0, false, true};
        case state::until_close: return {raw.size(), raw.size(), false, false};
        case state::length: {
            auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, raw.size()));
            left_ -= n;
            if (left_ == 0) {
                state_ = state::done;
            }
            return {n, n, left_ == 0, false};
        }
        default: break;
    }

    const char* in = raw.data();
    const char* const end = in + raw.size();
    char* out = raw.data();
    while (in != end && state_ != state::done && state_ != state::bad) {
        if (state_ == state::data) {
            in = take_data(in, end, out);
        } else {
            take_control(*in++);
        }
    }
    return {static_cast<std::size_t>(out - raw.data()), static_cast<std::size_t>(in - raw.data()),
            state_ == state::done, state_ == state::bad};
}

// Moves what there is of the chunk to `out`; steps over the CRLF after it when both are there.
const char* body_decoder::take_data(const char* in, const char* end, char*& out)
{
    auto n = static_cast<std::size_t>(
        std::min<std::uint64_t>(left_, static_cast<std::uint64_t>(end - in)));
    if (out != in) {
        std::memmove(out, in, n);
    }
    out += n;
    in += n;
    left_ -= n;
    if (left_ != 0) {
        return in;
    }
    if (end - in >= 2 && in[0] == '\r' && in[1] == '\n') {
        state_ = state::size_first;
        return in + 2;
    }
    state_ = state::data_cr;
    return in;
}

void body_decoder::end_size_line()
{
    if (left_ == 0) {
        state_ = state::trailer_start;
        return;
    }
    payload_ += left_;
    overhead_ += digits_ + extension_ + 4u;  // and two CRLF
    // payload_ is what was announced: a chunk that comes never whole costs no further framing.
    bool outweighs =
        overhead_ > free_overhead && (overhead_ - free_overhead) / overhead_per_byte > payload_;
    state_ = outweighs ? state::bad : state::data;
}

// One byte of framing.
void body_decoder::take_control(char c)
{
    auto bad = [this] { state_ = state::bad; };
    switch (state_) {
        case state::size_first:
            left_ = 0;
            digits_ = 0;
            extension_ = 0;
            if (hex_value(c) == no_digit) {
                return bad();
            }
            state_ = state::size;
            [[fallthrough]];
        case state::size:
            if (auto digit = hex_value(c); digit != no_digit) {
                left_ = left_ << 4 | digit;
                if (++digits_ > longest_size || left_ > largest_chunk) {
                    bad();
                }
            } else if (c == '\r') {
                state_ = state::size_lf;
            } else if (c == ';') {
                extension_ = 1;
                state_ = state::extension;
            } else {
                bad();
            }
            return;
        case state::extension:
            if (c == '\r') {
                state_ = state::size_lf;
                return;
            }
            [[fallthrough]];
        case state::extension_quoted:
        case state::extension_escape:
            // A CR in quotes is no end of the line for one parser and one for another: bad.
            if (is_control(c) || ++extension_ > longest_extension) {
                return bad();
            }
            if (state_ == state::extension_escape) {
                state_ = state::extension_quoted;
            } else if (c == '"') {
                state_ = state_ == state::extension ? state::extension_quoted : state::extension;
            } else if (c == '\\' && state_ == state::extension_quoted) {
                state_ = state::extension_escape;
            }
            return;
        case state::size_lf: return c == '\n' ? end_size_line() : bad();
        case state::data_cr: state_ = c == '\r' ? state::data_lf : state::bad; return;
        case state::data_lf: state_ = c == '\n' ? state::size_first : state::bad; return;
        case state::trailer_start:
            if (c == '\r') {
                state_ = state::end_lf;
                return;
            }
            if (!is_token(c)) {
                return bad();
            }
            state_ = state::trailer_name;
            [[fallthrough]];
        case state::trailer_name:
            if (++trailer_ > longest_trailer) {
                bad();
            } else if (c == ':') {
                state_ = state::trailer_value;
            } else if (!is_token(c)) {
                bad();
            }
            return;
        case state::trailer_value:
            if (++trailer_ > longest_trailer) {
                bad();
            } else if (c == '\r') {
                state_ = state::trailer_lf;
            } else if (is_control(c) && c != '\t') {
                bad();
            }
            return;
        case state::trailer_lf: state_ = c == '\n' ? state::trailer_start : state::bad; return;
        case state::end_lf: state_ = c == '\n' ? state::done : state::bad; return;
        case state::length:
        case state::until_close:
        case state::data:
        case state::done:
        case state::bad: return;
    }
}

}  // namespace gateway
