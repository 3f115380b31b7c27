// parse_config must take any bytes. The part after a zero byte is laid over as a flag's or
// variable's text.
#include "proxy-config/config.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto zero = bytes.find('\0');
    std::vector<gateway::config_override> overrides;
    if (zero != std::string_view::npos) {
        static constexpr std::array paths{"upstreams", "max_concurrent", "listen", "queue.grace",
                                          "limits.body"};
        const std::string text(bytes.substr(zero + 1));
        overrides.push_back({paths[text.size() % paths.size()], text, "--fuzzed"});
    }
    const auto parsed = gateway::parse_config(bytes.substr(0, zero), overrides);
    if (parsed.mistakes.empty()) {
        const auto again = gateway::parse_config(gateway::to_json(parsed.value), {});
        if (!again.mistakes.empty() || !(again.value == parsed.value)) {
            std::abort();  // what was accepted must be told so that it is accepted again
        }
    }
    return 0;
}
