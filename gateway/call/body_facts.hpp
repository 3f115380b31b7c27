// What the gateway must know of a request body, and where in its bytes it stands. A value. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace gateway {

// A half-open range of bytes of the body; empty() when the thing is not there.
struct byte_range {
    std::size_t begin = 0;
    std::size_t end = 0;
    bool empty() const { return begin == end; }
};

enum class keep_alive : std::uint8_t { absent, zero, other };

struct body_facts {
    std::string model;           // as the client wrote it; empty when absent
    byte_range model_value;      // the JSON string with its quotes
    std::optional<bool> stream;  // as written; absent: the endpoint's default
    keep_alive keep = keep_alive::absent;
    byte_range keep_alive_value;  // the JSON value
    byte_range options;           // the JSON object with its braces
    byte_range num_ctx;           // the value in options
    byte_range shift;             // generate, chat: the value of `shift`, a load-time option too
    bool empty_prompt = true;     // generate: no or "" prompt; chat: no or [] messages
    bool tools = false;           // a non-empty `tools`
    unsigned inputs = 1;          // embeddings: how many inputs
    std::size_t size = 0;         // how much of the body is sent: what follows is white space
};

}  // namespace gateway
