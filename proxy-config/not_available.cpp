// The table of what is refused.
#include "proxy-config/not_available.hpp"

#include <array>

namespace gateway {

namespace {

struct refusal {
    std::string_view path;  // and everything below it
    std::string_view why = "not available in this version";
};

constexpr std::array refusals{
    refusal{"upstreams[].vram"},
    refusal{"upstreams[1]", "only one upstream is supported in this version"},
    refusal{"timeouts.load"},
    refusal{"unload.stuck_file"},
    refusal{"models.*.fallbacks"},
    refusal{"models.*.timeouts.load"},
    refusal{"models.*.keep_alive"},
    refusal{"models.*.pin_options"},
    refusal{"models.*.reuse_larger_context"},
    refusal{"auth"},
};

}  // namespace

std::string_view not_available(std::string_view path)
{
    for (const refusal& r : refusals) {
        if (path.starts_with(r.path) &&
            (path.size() == r.path.size() || path[r.path.size()] == '.')) {
            return r.why;
        }
    }
    return {};
}

}  // namespace gateway
