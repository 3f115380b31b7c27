// Which endpoint a request is for, and how it is treated (SPEC §4). Pure.
#pragma once

#include "call/body_facts.hpp"
#include "call/fault.hpp"
#include "call/kinds.hpp"
#include "call/model_name.hpp"
#include "call/telling.hpp"

#include <boost/system/result.hpp>

#include <string_view>

namespace gateway {

struct classified {
    endpoint where = endpoint::other;
    kind what = kind::information;  // generation and load/unload are told apart by refine()
    dialect words = dialect::native;
};

// By method and percent-decoded path. /v1/messages speaks anthropic, the other /v1/* openai.
classified classify(std::string_view method, std::string_view path);

// What a call is once its body is known. Native generate and chat without a prompt: load, or unload
// with keep_alive 0. A body that names no model: information, for Ollama refuses it at once
// (ollama.md §2.4).
kind refine(const classified& c, const body_facts& facts);

// Reads what must be known of a JSON body in one pass, no tree, depth at most 64. `where` decides
// which keys matter. Faults: bad_body. Ambiguous bodies (SPEC §4: a key that matters twice, or in
// another case as Go folds it, at the top or in `options`) are bad_body. A body that is not valid
// JSON is bad_body too, and so is anything but white space after the value. An empty body and a
// JSON value that is no object are left to Ollama's own words: facts.model is empty. A model that
// is no string, or null, is none. With endpoint::other (/api/show, …) `name` stands in for an
// absent `model`.
boost::system::result<body_facts, fault> scan_json(std::string_view body, endpoint where);

// The `model` (and `stream`) parts of multipart/form-data; `content_type` carries the boundary.
// facts.model_value is the part's content, which has no quotes. A `query` that names `model` too is
// bad_body: Ollama would take that one. A body of another type is left to Ollama, facts.model
// empty.
boost::system::result<body_facts, fault> scan_multipart(std::string_view body,
                                                        std::string_view content_type,
                                                        std::string_view query = {});

// How the answer is framed and how the client is told of its wait, from the request alone (SPEC
// §6).
struct manner {
    shape framed = shape::one_piece;
    telling told = telling::padding;
    bool at_once = false;  // asked for events: told at once, without grace
};
struct asked {
    std::string_view accept;        // Accept
    std::string_view queue_events;  // X-Queue-Events, or "1" for ?queue_events=1
    std::string_view heartbeat;     // X-Gateway-Heartbeat
    bool open_webui = false;        // a trusted peer with X-OpenWebUI-* headers
};
manner manner_of(const classified& c, const body_facts& facts, const asked& a);

}  // namespace gateway
