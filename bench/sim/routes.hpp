// Which handler answers what, as gin's router does it for Ollama (routes.go:1841).
#pragma once

#include "bench/sim/connection.hpp"

namespace sim {

// Answers the request in c.head.
awaitable<void> handle(connection& c);

// The families of handlers. Each answers with Ollama's words for everything.
awaitable<void> generate(connection& c);
awaitable<void> chat(connection& c);
awaitable<void> embed(connection& c);
awaitable<void> embeddings(connection& c);

awaitable<void> tags(connection& c);
awaitable<void> ps(connection& c);
awaitable<void> show(connection& c);

awaitable<void> v1_chat(connection& c);
awaitable<void> v1_completions(connection& c);
awaitable<void> v1_embeddings(connection& c);
awaitable<void> v1_models(connection& c);
awaitable<void> v1_model(connection& c);
awaitable<void> v1_responses(connection& c);
awaitable<void> v1_messages(connection& c);
awaitable<void> v1_transcriptions(connection& c);

awaitable<void> pull(connection& c);
awaitable<void> push(connection& c);
awaitable<void> create(connection& c);
awaitable<void> copy(connection& c);
awaitable<void> remove_model(connection& c);
awaitable<void> head_blob(connection& c);
awaitable<void> post_blob(connection& c);

// /sim/…: asks and changes the simulation itself.
awaitable<void> control(connection& c);

// What /sim/stats shows, and what POST /sim/fault does: the mistake, or empty.
json stats_now(world& w);
std::string set_fault(world& w, const json& request);

answer native_failure(int status, std::string_view message);

}  // namespace sim
