// Load-time options: what makes Ollama reload a model when two calls differ in it (ollama.md §0.8,
// sched.go:1381-1431). Pure.
#pragma once

#include "call/body_facts.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// num_ctx, num_batch, num_gpu, main_gpu, use_mmap, num_thread, draft_num_predict of `options`, and
// `shift` beside it, as far as a call sets them to something else than Ollama's default (null; num_gpu
// -1; main_gpu, num_thread 0; shift true) and than the model's own parameters (`PARAMETER` lines of
// its Modelfile, as /api/show tells them). Canonical: two calls with equal text share a runner.
class load_options {
public:
    load_options() = default;  // none: as the model comes

    // Of a body that scan_json has accepted (`facts` are its). Other endpoints than the native ones
    // have none. `parameters`: the text of that name in /api/show ("num_ctx   8192\nstop …"), may be
    // empty.
    static load_options of(std::string_view body, const body_facts& facts,
                           std::string_view parameters);

    // "num_ctx=8192,num_gpu=20,shift=false": keys in this order, each once; empty: none.
    const std::string& text() const { return text_; }
    bool empty() const { return text_.empty(); }
    // None: automatic.
    std::optional<std::uint64_t> num_ctx() const;
    // The same without num_ctx.
    std::string without_num_ctx() const;
    // As members of a load request: `"options":{"num_ctx":8192},"shift":false`, empty when none.
    std::string as_json_members() const;
    // Read back what text() said.
    static load_options read(std::string_view text);

    // A runner loaded with `this` serves a call that wishes for `wish`: equal but for num_ctx, and
    // its own is larger (SPEC §7 "Reloads"). `context`: what /api/ps says of a runner whose num_ctx is
    // automatic; 0: unknown. A wish for an automatic num_ctx is only served by an automatic one.
    bool serves_smaller(const load_options& wish, std::uint64_t context) const;

    bool operator==(const load_options&) const = default;

private:
    std::string text_;
};

}  // namespace gateway
