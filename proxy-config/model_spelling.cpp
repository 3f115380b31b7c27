// Spelling of model names.
#include "proxy-config/model_spelling.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway {

std::string model_spelling(std::string_view written)
{
    const std::string lower = to_lower(trim(written));
    std::string_view name = lower;
    if (constexpr std::string_view local = ":local"; name.ends_with(local)) {
        name.remove_suffix(local.size());  // says where, not which
    }
    if (name.empty()) {
        return {};
    }
    const auto slash = name.rfind('/');
    const auto tag = name.rfind(':');
    const bool tagged =
        tag != std::string_view::npos && (slash == std::string_view::npos || tag > slash);
    for (const std::string_view scheme : {"https://", "http://"}) {
        if (name.starts_with(scheme)) {
            name.remove_prefix(scheme.size());
        }
    }
    // registry.ollama.ai/library/m and library/m, but not registry.ollama.ai/m: that is another
    // name.
    const auto drop = [&](std::string_view part, std::ptrdiff_t slashes) {
        if (name.starts_with(part) && std::count(name.begin(), name.end(), '/') == slashes) {
            name.remove_prefix(part.size());
        }
    };
    drop("registry.ollama.ai/", 2);
    drop("library/", 1);
    return std::string(name) + (tagged ? "" : ":latest");
}

}  // namespace gateway
