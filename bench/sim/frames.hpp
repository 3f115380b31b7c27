// Where a dialect puts what Ollama would flush. Pure.
#pragma once

#include <string_view>

namespace sim {

class frame_sink {
public:
    // One flush: one HTTP chunk.
    virtual void frame(std::string_view data) = 0;

protected:
    ~frame_sink() = default;
};

}  // namespace sim
