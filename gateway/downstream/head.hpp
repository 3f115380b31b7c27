// The head gate: raw request head → a checked head or a fault. Strict HTTP/1.1: what is ambiguous
// is refused, never guessed at (reliability.md §2, D1 to D25). Beast parses the whole head at once;
// the rules it lacks are here. No I/O.
#pragma once

#include "base/clock.hpp"
#include "call/fault.hpp"
#include "downstream/field_name.hpp"

#include <boost/system/result.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

struct field {
    field(std::string_view sent_name, std::string_view sent_value)
        : name(sent_name), value(sent_value), is(named(sent_name))
    {
    }

    std::string name;   // as sent
    std::string value;  // trimmed
    field_name is;

    bool operator==(const field&) const = default;
};

struct request_head {
    std::string method;  // "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"
    std::string target;  // origin-form, as sent: path and query
    std::string path;    // percent-decoded
    std::string query;   // without '?', as sent
    bool http_1_0 = false;
    bool keep_alive = true;
    bool expects_continue = false;
    bool chunked = false;  // body framing; else content_length, else no body
    std::optional<std::uint64_t> content_length;
    std::vector<field> fields;  // all of them, in order

    // The first field of that name, any case; empty when absent.
    std::string_view get(field_name name) const;
    bool has(field_name name) const;
    // The same for a name that has no number.
    std::string_view get(std::string_view name) const;
    bool has(std::string_view name) const;

    bool operator==(const request_head&) const = default;
};

struct head_limits {
    std::size_t bytes = 32 * 1024;
    std::size_t fields = 100;
};

// Where a head ends in `buffer` (just after its empty line); 0: not yet. `from`: how much was
// already looked at.
std::size_t head_end(std::string_view buffer, std::size_t from);

// Parses one whole head, from the request line to the empty line. On a fault the connection must be
// closed after the answer: nothing after it can be trusted. Faults: bad_request (400),
// head_too_large (431), bad_method (405 or 501 by http_status override is not needed: use
// bad_method).
boost::system::result<request_head, fault> parse_head(std::string_view bytes, const head_limits& l);

// Is the Host one that a client of a loopback listener may use (DNS rebinding, SPEC §12)? Local
// names and addresses as Ollama's allowedHosts has them (ollama.md §7), or in `hosts`. `host` may
// carry a port.
bool host_allowed(std::string_view host, const std::vector<std::string>& hosts);

// Ollama's default origins (ollama.md §7) and the configured ones (one `*` per entry; "*" is all).
// The same origin as Host is allowed too.
bool origin_allowed(std::string_view origin, std::string_view host,
                    const std::vector<std::string>& origins);

}  // namespace gateway
