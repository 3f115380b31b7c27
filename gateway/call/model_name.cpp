// How Ollama reads a model's name.
#include "call/model_name.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway {

bool is_cloud(std::string_view model)
{
    // internal/modelref/modelref.go parseSourceSuffix
    const auto colon = model.rfind(':');
    if (colon == std::string_view::npos) {
        return false;
    }
    const std::string tag = to_lower(trim(model.substr(colon + 1)));
    return tag == "cloud" || (tag.ends_with("-cloud") && tag.find('/') == std::string::npos);
}

std::string canonical_model(std::string_view model)
{
    std::string name = to_lower(trim(model));
    if (name.ends_with(":local")) {  // says where, not which (modelref.go)
        name.resize(name.size() - std::string_view(":local").size());
    }
    if (name.empty()) {
        return name;
    }
    const auto tag = name.rfind(':');
    const auto slash = name.rfind('/');
    if (tag == std::string::npos || (slash != std::string::npos && tag < slash)) {
        name += ":latest";
    }
    for (const std::string_view scheme : {"https://", "http://"}) {
        if (name.starts_with(scheme)) {
            name.erase(0, scheme.size());
        }
    }
    constexpr std::string_view registry = "registry.ollama.ai/";
    constexpr std::string_view library = "library/";
    if (name.starts_with(registry) && std::count(name.begin(), name.end(), '/') == 2) {
        name.erase(0, registry.size());
    }
    if (name.starts_with(library) && std::count(name.begin(), name.end(), '/') == 1) {
        name.erase(0, library.size());
    }
    return name;
}

}  // namespace gateway
