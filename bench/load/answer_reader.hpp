// Reads HTTP/1.1 answers as they come: head, then a body by length, by chunks or until the close.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace load {

class answer_reader {
public:
    // Told the pieces of the body as they lie in the caller's bytes.
    class listener {
    public:
        virtual void body(std::string_view piece) = 0;

    protected:
        ~listener() = default;
    };

    enum class state : std::uint8_t { reading, complete, bad };

    // Takes bytes of one answer; after `complete` or `bad` what is left over is dropped (nothing
    // was asked).
    state take(std::string_view bytes, listener& to);
    // The peer closed: an answer that ends with the connection is complete now, any other is bad.
    state closed();
    void reset();

    int status() const { return status_; }

private:
    enum class step : std::uint8_t {
        head,
        counted,
        chunk_size,
        chunk,
        chunk_end,
        trailer,
        until_close
    };

    bool line(std::string_view& bytes);
    bool read_head();
    state ended() { return state_ = state::complete; }

    step step_ = step::head;
    state state_ = state::reading;
    int status_ = 0;
    std::string held_;  // an unfinished line or head
    std::size_t left_ = 0;
};

}  // namespace load
