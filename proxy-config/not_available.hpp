// What the configuration describes and this version cannot do: refused, never ignored. Whoever
// builds a capability deletes its line (and the note in gateway.schema.json). Pure.
#pragma once

#include <string>
#include <string_view>

namespace gateway {

// Why this key is refused; empty when it is not. Paths as "queue.max_wait", "upstreams[].vram",
// "models.*.timeouts.load"; "upstreams[1]" stands for a second upstream.
std::string_view not_available(std::string_view path);

}  // namespace gateway
