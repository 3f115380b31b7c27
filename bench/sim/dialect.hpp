// How one endpoint says what a run produces: pieces, final record, whole answers, errors. Pure.
//
// Texts are handed over as contents of JSON strings, already escaped.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bench/sim/frames.hpp"
#include "bench/sim/go_json.hpp"
#include "bench/sim/world_clock.hpp"

namespace sim {

// The figures of a run. Durations in nanoseconds.
struct totals {
    int prompt_tokens = 0;
    int tokens = 0;
    std::int64_t total = 0;
    std::int64_t load = 0;
    std::int64_t prompt = 0;
    std::int64_t eval = 0;
    std::string_view reason = "stop";
    bool done = true;  // false: the run ended without a final record
};

class dialect {
public:
    virtual ~dialect() = default;

    virtual std::string_view stream_type() const { return "text/event-stream"; }
    virtual std::string_view stream_fields() const { return {}; }
    virtual void piece(frame_sink& to, std::string_view text) = 0;
    virtual void last(frame_sink& to, const totals& t) = 0;
    // An error after the head has gone, as it really arrives: /v1 swallows it (§2.2).
    virtual void broken(frame_sink& to, std::string_view message) = 0;

    virtual std::string_view whole_type() const { return "application/json"; }
    virtual std::string whole(std::string_view text, const totals& t) = 0;

    // The body of an error answer and its Content-Type.
    virtual std::string error(int status, std::string_view message) const = 0;
    virtual std::string_view error_type() const { return "application/json"; }
};

// What every dialect must know of a call. `id` makes the endpoint's ids.
struct voice {
    wall_clock wall;
    std::string model;  // as the client wrote it
    std::uint64_t id = 0;
    bool usage = false;  // stream_options.include_usage
    int prompt_tokens = 0;
    bool context = false;  // /api/generate tells its context
};

std::unique_ptr<dialect> native_generate(voice v);
std::unique_ptr<dialect> native_chat(voice v);
std::unique_ptr<dialect> openai_chat(voice v);
std::unique_ptr<dialect> openai_completion(voice v);
std::unique_ptr<dialect> openai_responses(voice v, const json& request);
std::unique_ptr<dialect> openai_transcription(voice v, std::string format);
std::unique_ptr<dialect> anthropic_messages(voice v);

// Error bodies of the three families.
std::string native_error(std::string_view message);
std::string openai_error(int status, std::string_view message);
std::string anthropic_error(int status, std::string_view message, std::uint64_t id);

// The text of the i-th token of a run, escaped. The same seed makes the same text.
std::string_view token_text(std::uint64_t seed, int i);

}  // namespace sim
