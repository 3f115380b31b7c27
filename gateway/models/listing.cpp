#include "models/listing.hpp"

#include "call/model_name.hpp"

#include <nlohmann/json.hpp>

namespace gateway {
namespace {

using nlohmann::json;

// The array `models` of an answer of Ollama's; null when it is none.
json models_of(std::string_view text)
{
    // Listings are shallow; a deep one is no listing, and is not even built.
    auto shallow = [](int depth, json::parse_event_t, json&) { return depth < 16; };
    auto parsed = json::parse(text, shallow, false);
    if (!parsed.is_object())
        return nullptr;
    auto found = parsed.find("models");
    if (found == parsed.end())
        return nullptr;
    // Ollama writes `null` for an empty list in some versions.
    return found->is_null() ? json::array() : *found;
}

std::string text_of(const json& object, const char* key)
{
    auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_of(const json& object, const char* key)
{
    auto found = object.find(key);
    if (found == object.end() || !found->is_number())
        return 0;
    auto n = found->get<double>();
    return n > 0 && n < 1e18 ? std::uint64_t(n) : 0;
}

std::string name_of(const json& object)
{
    auto name = text_of(object, "name");
    return name.empty() ? text_of(object, "model") : name;
}

}  // namespace

std::optional<std::vector<loaded_model>> parse_ps(std::string_view text)
{
    auto all = models_of(text);
    if (!all.is_array())
        return std::nullopt;
    std::vector<loaded_model> loaded;
    for (const auto& m : all) {
        if (!m.is_object() || name_of(m).empty())
            return std::nullopt;
        loaded_model l;
        l.name = name_of(m);
        l.canonical = canonical_model(l.name);
        l.size = number_of(m, "size");
        l.size_vram = number_of(m, "size_vram");
        l.expires_at = text_of(m, "expires_at");
        l.context_length = number_of(m, "context_length");
        loaded.push_back(std::move(l));
    }
    return loaded;
}

std::optional<std::vector<listed_model>> parse_tags(std::string_view text)
{
    auto all = models_of(text);
    if (!all.is_array())
        return std::nullopt;
    std::vector<listed_model> listed;
    for (const auto& m : all) {
        if (!m.is_object() || name_of(m).empty())
            return std::nullopt;
        listed.push_back(
            {name_of(m), canonical_model(name_of(m)), text_of(m, "digest"), number_of(m, "size")});
    }
    return listed;
}

}  // namespace gateway
