// A call's request as it goes upstream when a rule of SPEC §7 changes it.
#pragma once

#include "call/body_edit.hpp"
#include "call/call.hpp"

#include <string>
#include <string_view>

namespace gateway {

struct outgoing {
    std::string body;
    std::string fields;
};

// `c`'s body with the changes. One that came packed (zstd) goes unpacked, without its
// Content-Encoding.
outgoing outgoing_with(const call& c, const body_edits& edits);

// The keep_alive that Ollama sees, a JSON value; "null" when it sees none.
std::string kept_alive(const call& c, const body_edits& edits);

// May it stand in a header field? A client's model name can be anything.
bool is_header_text(std::string_view text);

}  // namespace gateway
