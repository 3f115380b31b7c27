// What the origin says: Ollama's own wire forms for one model, `bench:latest`, always loaded unless
// it was unloaded, and the chunk that carries a stamp. Shapes: Ollama api/types.go,
// server/routes.go.
#pragma once

#include <string>
#include <string_view>

#include "bench/load/clock.hpp"

namespace load {

// An answer with a length, as Ollama (Go) writes bodies of at most 2,048 bytes.
std::string whole_answer(std::string_view status, std::string_view type, std::string_view body);

// The answer to any call that is not a generation, by method and path.
std::string information(std::string_view method, std::string_view path, bool loaded);

// The one-piece answer of /api/chat, and the one of a load or an unload.
std::string chat_answer();
std::string load_answer(std::string_view reason);

// A stream: its head, its chunks (in place: valid until the next call), its last line, its end.
std::string_view stream_head();
std::string_view stream_chunk(nanos stamp);
std::string stream_final_line(long chunks);
std::string_view stream_end();

// The stamp in a line of a stream, or 0 when it carries none (the last line).
nanos stamp_in(std::string_view line);

}  // namespace load
