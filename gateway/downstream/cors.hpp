// Browsers' cross-origin questions, answered here in Ollama's place (SPEC §4, ollama.md §7): to
// Ollama goes neither Origin nor a preflight, for with its Host rewritten it could not tell its own
// pages. Pure.
#pragma once

#include "downstream/head.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

struct cors_answer {
    enum class verdict : std::uint8_t {
        none,       // no Origin, or the same origin: as if CORS did not exist
        allowed,    // go on; `fields` belong to the answer
        preflight,  // answer 204 with `fields` and no body
        foreign,    // answer 403: the origin is neither one of Ollama's own list nor in `origins`
    };
    verdict what = verdict::none;
    std::string fields;  // header lines, each with its CRLF
};

// `origins` is the configured list. As with Ollama, any OPTIONS from an allowed origin is a
// preflight. `pages_port`: the port, on the host that the client asked, from which our own pages
// come; empty when there is none.
cors_answer cors(const request_head& head, const std::vector<std::string>& origins,
                 std::string_view pages_port = {});

}  // namespace gateway
