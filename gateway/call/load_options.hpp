// Load-time options: what makes Ollama reload a model when two calls differ in it (ollama.md §0.8,
// server/sched.go needsReload, server/routes.go modelOptions). Pure.
#pragma once

#include "call/body_facts.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

// num_ctx, num_batch, num_gpu, main_gpu, use_mmap, num_thread, draft_num_predict of `options`, and
// `shift` beside it, as far as a call sets them to something else than the model comes with: its
// own parameters (`PARAMETER` lines of its Modelfile, as /api/show tells them), and Ollama's
// defaults where it has none (num_gpu: anything below 0; num_thread: 0; shift: true; the others:
// absent, for an explicit value is never quite the automatic one). Canonical: two calls with equal
// text share a runner.
//
// Numbers are what Ollama makes of them: `options` is a map there, so any JSON number is taken and
// its fraction cut off. What Ollama refuses (a value of another type, a number no int holds) stands
// as `[]`, which it refuses likewise. A null is no value, but for num_batch and draft_num_predict,
// whose mere presence turns the automatic off: there it is Ollama's default (512, 4).
class load_options {
public:
    load_options() = default;  // none: as the model comes

    // Of a body that scan_json has accepted (`facts` are its). Other endpoints than the native ones
    // have none. `parameters`: the text of that name in /api/show ("num_ctx   8192\nstop …"), may
    // be empty. `shifts`: what `shift` is when absent (model_facts::shifts).
    static load_options of(std::string_view body, const body_facts& facts,
                           std::string_view parameters, bool shifts = true);

    // "num_ctx=8192,num_gpu=20,shift=false": keys in this order, each once; empty: none.
    const std::string& text() const { return text_; }
    bool empty() const { return text_.empty(); }
    // None: automatic, or one that Ollama refuses.
    std::optional<std::uint64_t> num_ctx() const;
    // The same without num_ctx.
    std::string without_num_ctx() const;
    // As members of a load request: `"options":{"num_ctx":8192},"shift":false`, empty when none.
    std::string as_json_members() const;
    // Read back what text() said. What it never says is left out.
    static load_options read(std::string_view text);

    // A runner loaded with `this` serves a call that wishes for `wish`: equal but for num_ctx, and
    // its own is as large or larger (SPEC §7 "Reloads"). `context`: what /api/ps says of a runner
    // whose num_ctx is automatic; 0: unknown. A wish for an automatic num_ctx is only served by an
    // automatic one.
    bool serves_smaller(const load_options& wish, std::uint64_t context) const;

    bool operator==(const load_options&) const = default;

private:
    std::string text_;
};

// Is this a key in `options` that load_options is about? (`shift` is none: it stands beside them.)
bool is_load_option(std::string_view key);

// The load-time options among a model's own parameters (as /api/show tells them), canonical.
std::string load_parameters(std::string_view parameters);

}  // namespace gateway
