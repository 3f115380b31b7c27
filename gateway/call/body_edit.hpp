// Changes to a body on its way up: only what a rule of SPEC §7 names, spliced into the client's own
// bytes; everything else stays as it was. Pure.
#pragma once

#include "call/body_facts.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

struct body_edits {
    // A fallback's name, not yet quoted.
    std::optional<std::string> model = {};
    // JSON text: "\"5m\"" or "-1" (models.M.keep_alive). For native endpoints.
    std::optional<std::string> keep_alive = {};
    // pin_options: those of load_options.hpp, and shift.
    bool strip_load_options = false;
    // reuse_larger_context: the num_ctx of the runner that serves it; 0: its automatic one, so the
    // wish for one is taken out. Goes before strip_load_options.
    std::optional<std::uint64_t> num_ctx = {};

    bool none() const { return !model && !keep_alive && !strip_load_options && !num_ctx; }
};

// The body with these changes; valid JSON if `body` was. `facts` are scan_json's of `body`, which
// was accepted. A keep_alive or options that are not there are added as the first members, a
// num_ctx as the first option; an absent keep_alive stays absent unless the edit names a value.
// What Ollama will refuse anyway stays as it is: a body that is no object, options that are neither
// object nor null, and a body without a model gets none. `options` that become empty stay, as {}.
// The facts of the result must be scanned anew by whoever needs them. Not for multipart.
std::string edited(std::string_view body, const body_facts& facts, const body_edits& edits);

}  // namespace gateway
