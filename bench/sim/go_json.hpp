// JSON as Ollama's handlers read it: json.Decoder takes the first value of a body and leaves the
// rest; the keys of what is decoded into a struct are matched without regard to case, and the last
// of two wins. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sim {

using json = nlohmann::json;
using ordered_json = nlohmann::ordered_json;

// Finds the end of the first JSON value while its bytes arrive. It counts brackets and strings
// only: whether the value is good is the parser's question.
class first_value {
public:
    // Takes more bytes; afterwards complete() says whether the value has ended within what was fed.
    void feed(std::string_view bytes);

    bool complete() const { return complete_; }
    // Bytes up to the end of the value, leading blanks included; of everything fed while it is not
    // complete.
    std::size_t length() const { return length_; }

private:
    std::size_t length_ = 0;
    std::size_t depth_ = 0;
    bool started_ = false;
    bool in_string_ = false;
    bool escaped_ = false;
    bool scalar_ = false;
    bool complete_ = false;
};

struct parsed_json {
    json value;         // object keys are folded as Go folds them, at every level
    std::string error;  // Go's text; empty when good. "EOF" for a body without a value.
};

// Parses the first value of `body`.
parsed_json parse_go_json(std::string_view body);

// A key as strings.EqualFold sees it: ASCII lower case, U+212A is `k`, U+017F is `s`.
std::string folded(std::string_view key);

// The member, or null when there is none or `object` is no object.
const json& member(const json& object, const char* key);

}  // namespace sim
