// The answer reader: only what well-behaved servers send; anything else is `bad`.
#include "bench/load/answer_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace load {

void answer_reader::reset()
{
    *this = answer_reader();
}

// Moves bytes up to and including LF to held_; true when the line is whole.
bool answer_reader::line(std::string_view& bytes)
{
    auto end = bytes.find('\n');
    auto taken = end == bytes.npos ? bytes.size() : end + 1;
    held_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    return end != bytes.npos;
}

bool answer_reader::read_head()
{
    std::transform(held_.begin(), held_.end(), held_.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    if (held_.size() < 12 || held_.compare(0, 7, "http/1.") != 0)
        return false;
    std::from_chars(held_.data() + 9, held_.data() + 12, status_);
    constexpr std::string_view length = "\r\ncontent-length:";
    if (held_.find("\r\ntransfer-encoding: chunked\r\n") != held_.npos) {
        step_ = step::chunk_size;
    } else if (auto at = held_.find(length); at != held_.npos) {
        left_ = std::strtoul(held_.c_str() + at + length.size(), nullptr, 10);
        step_ = step::counted;
    } else {
        step_ = step::until_close;
    }
    held_.clear();
    return true;
}

answer_reader::state answer_reader::take(std::string_view bytes, listener& to)
{
    while (state_ == state::reading && !bytes.empty()) {
        switch (step_) {
            case step::head:
                if (!line(bytes))
                    break;
                if (!held_.ends_with("\r\n\r\n"))
                    break;
                if (!read_head())
                    return state_ = state::bad;
                if (step_ == step::counted && left_ == 0)
                    return ended();
                break;
            case step::counted:
            case step::chunk: {
                auto piece = bytes.substr(0, left_);
                bytes.remove_prefix(piece.size());
                left_ -= piece.size();
                to.body(piece);
                if (left_ == 0) {
                    if (step_ == step::counted)
                        return ended();
                    step_ = step::chunk_end;
                }
                break;
            }
            case step::chunk_size:
                if (!line(bytes))
                    break;
                if (std::from_chars(held_.data(), held_.data() + held_.size(), left_, 16).ec !=
                    std::errc())
                    return state_ = state::bad;
                held_.clear();
                step_ = left_ == 0 ? step::trailer : step::chunk;
                break;
            case step::chunk_end:
                if (!line(bytes))
                    break;
                held_.clear();
                step_ = step::chunk_size;
                break;
            case step::trailer:
                if (!line(bytes))
                    break;
                if (held_ == "\r\n")
                    return ended();
                held_.clear();
                break;
            case step::until_close:
                to.body(bytes);
                bytes = {};
                break;
        }
    }
    return state_;
}

answer_reader::state answer_reader::closed()
{
    if (state_ == state::reading)
        state_ = step_ == step::until_close ? state::complete : state::bad;
    return state_;
}

}  // namespace load
