// The file that tells a service manager which models are stuck (unload.stuck_file): there while one
// is, gone when none is. deploy/ has a systemd path unit that restarts Ollama on it.
#pragma once

#include <string>
#include <vector>

namespace gateway {

struct stuck_model {
    std::string upstream;
    std::string model;
};

// One line of JSON per model; replaced as a whole, removed when there is none. What fails is
// logged.
void write_stuck_file(const std::string& path, const std::vector<stuck_model>& all);

}  // namespace gateway
