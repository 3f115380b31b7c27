#include "jobs/upstream_words.hpp"

#include "base/text.hpp"

#include <nlohmann/json.hpp>

namespace gateway {

std::string upstream_words(std::string_view body, int status)
{
    constexpr std::size_t longest = 1000;
    auto said = nlohmann::json::parse(body, nullptr, false);
    std::string text;
    if (said.is_object() && said.contains("error")) {
        const auto& e = said["error"];
        if (e.is_string())
            text = e.get<std::string>();
        else if (e.is_object() && e.contains("message") && e["message"].is_string())
            text = e["message"].get<std::string>();
    }
    if (text.empty())
        text = to_valid_utf8(trim(body.substr(0, longest)));
    return text.empty() ? "the upstream answered " + std::to_string(status) : text;
}

bool says_busy(std::string_view body)
{
    return body.find("server busy") != std::string_view::npos;
}

}  // namespace gateway
