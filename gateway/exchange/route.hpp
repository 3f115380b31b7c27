// Where a call goes and whether it needs a permit for it, decided without I/O. Pure.
#pragma once

#include "call/fault.hpp"
#include "call/kinds.hpp"

#include <cstdint>
#include <string_view>

namespace gateway {

enum class way : std::uint8_t {
    straight,    // no permit: information, management, unloads, cloud models, unknown models
    generation,  // behind a permit
    embedding,   // behind a permit of the embedding pool
    errand,      // no permit, but the model is loaded first (a client's load request)
};

struct route_facts {
    kind what = kind::information;
    bool cloud = false;      // the model runs elsewhere
    bool known_not = false;  // no upstream has it: Ollama's own 404, at once and not after a wait
};

way route(const route_facts& f);

// How many permits an embedding call with so many inputs needs: each input takes a runner slot of
// its own in Ollama (routes.go:974-998).
unsigned embedding_weight(unsigned inputs, unsigned pool);

}  // namespace gateway
