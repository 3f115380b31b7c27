// What a request is: which endpoint, whose words (dialect), how it is treated (kind), and how its
// answer is framed (shape). Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace gateway {

enum class endpoint : std::uint8_t {
    generate,          // POST /api/generate
    chat,              // POST /api/chat
    embed,             // POST /api/embed
    embeddings,        // POST /api/embeddings
    chat_completions,  // POST /v1/chat/completions
    completions,       // POST /v1/completions
    v1_embeddings,     // POST /v1/embeddings
    responses,         // POST /v1/responses
    messages,          // POST /v1/messages
    transcriptions,    // POST /v1/audio/transcriptions
    management,        // pull, push, create, …
    gateway,           // /gateway/… : answered here
    other,             // everything else goes straight through
};

// In whose words errors are told.
enum class dialect : std::uint8_t { native, openai, anthropic };

enum class kind : std::uint8_t {
    generation,
    embedding,
    load,
    unload,
    information,
    management,
    own
};

// How the answer is framed: follows from the request alone, never from the load.
enum class shape : std::uint8_t {
    one_piece,   // application/json, whole
    ndjson,      // application/x-ndjson
    sse,         // text/event-stream
    native_sse,  // a native endpoint asked with Accept: text/event-stream: NDJSON re-told as SSE
};

// The label of metrics and log: "/api/chat", …; "management", "other" for the open classes.
constexpr std::string_view name(endpoint e)
{
    switch (e) {
        case endpoint::generate: return "/api/generate";
        case endpoint::chat: return "/api/chat";
        case endpoint::embed: return "/api/embed";
        case endpoint::embeddings: return "/api/embeddings";
        case endpoint::chat_completions: return "/v1/chat/completions";
        case endpoint::completions: return "/v1/completions";
        case endpoint::v1_embeddings: return "/v1/embeddings";
        case endpoint::responses: return "/v1/responses";
        case endpoint::messages: return "/v1/messages";
        case endpoint::transcriptions: return "/v1/audio/transcriptions";
        case endpoint::management: return "management";
        case endpoint::gateway: return "gateway";
        case endpoint::other: return "other";
    }
    return "other";
}

}  // namespace gateway
