// HTTP/1.1 as Go's net/http serves it, as far as Ollama's clients can tell: request heads, body
// framing, response heads. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sim {

struct request_head {
    std::string method;
    std::string target;
    std::string path;   // percent-decoded, without the query
    std::string query;  // without the `?`
    int minor = 1;      // HTTP/1.minor
    std::vector<std::pair<std::string, std::string>> fields;

    // The first field of that name in any case, or empty.
    std::string_view field(std::string_view name) const;
    bool keep_alive() const;
};

// Parses a head that ends in an empty line. Empty when it is not HTTP/1.0 or 1.1.
std::optional<request_head> parse_request_head(std::string_view head);

// Where the body of a request ends, and what is in it.
class body_decoder {
public:
    // False when the framing is bad: both lengths at once, an unknown coding, no number.
    bool start(const request_head& head);

    // Takes what belongs to the body from the front of `in` and appends its content to `out`,
    // `most` bytes of content at the most.
    void take(std::string& in, std::string& out, std::size_t most = SIZE_MAX);

    bool done() const { return state_ == state::done; }
    bool bad() const { return state_ == state::bad; }
    bool chunked() const { return chunked_; }
    // What is left of a Content-Length body.
    std::uint64_t left() const { return left_; }

private:
    enum class state { length, size_line, data, data_end, trailer, done, bad };
    bool take_line(std::string& in, std::size_t& at, std::string& line);

    state state_ = state::done;
    bool chunked_ = false;
    std::uint64_t left_ = 0;
    std::string line_;
};

std::string_view reason_phrase(int status);

// `%XX` and nothing else; empty when broken.
std::optional<std::string> percent_decoded(std::string_view text);

}  // namespace sim
