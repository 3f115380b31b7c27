// `ollama-gateway top`: a running gateway's status at a terminal, live until `q`; once, when the
// output is none.
#pragma once

#include <string>

namespace gateway::top {

// `admin`: where the gateway's admin port listens, as in the configuration. The exit code.
int watch(const std::string& admin);

}  // namespace gateway::top
