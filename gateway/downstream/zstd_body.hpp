// Request bodies packed with zstd, as Ollama takes them on /v1/* (Codex sends them). Pure.
#pragma once

#include "call/fault.hpp"

#include <boost/system/result.hpp>

#include <string>
#include <string_view>

namespace gateway {

// At most 20 MiB unpacked, window at most 8 MiB: Ollama's own limits (cloud_proxy.go:81-92). And
// past 4 MiB, more than any prompt, at most 20 times what was sent: a body of a few hundred bytes
// must not cost megabytes of memory (SPEC §12).
// Faults: bad_body, too_large.
boost::system::result<std::string, fault> unpack_zstd(std::string_view packed);

}  // namespace gateway
