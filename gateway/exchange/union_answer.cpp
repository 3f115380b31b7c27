#include "exchange/union_answer.hpp"

#include "call/model_name.hpp"

#include <nlohmann/json.hpp>

#include <set>

namespace gateway {

using json = nlohmann::ordered_json;

namespace {

constexpr std::string_view models_path = "/v1/models/";
constexpr int deepest = 16;

std::string_view path_of(std::string_view target)
{
    return target.substr(0, target.find('?'));
}

std::string text_of(const json& object, const char* key)
{
    auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

listing_of listing_asked(std::string_view method, std::string_view target)
{
    auto path = path_of(target);
    bool get = method == "GET";
    if (path == "/api/tags" && (get || method == "HEAD"))
        return listing_of::tags;
    if (path == "/api/ps" && get)
        return listing_of::ps;
    if (path == "/v1/models" && get)
        return listing_of::models;
    return listing_of::none;
}

std::string_view model_asked(std::string_view method, std::string_view target)
{
    auto path = path_of(target);
    return method == "GET" && path.starts_with(models_path) ? path.substr(models_path.size())
                                                            : std::string_view();
}

std::string laid_together(listing_of what, const std::vector<std::string>& bodies)
{
    const char* list = what == listing_of::models ? "data" : "models";
    const char* name = what == listing_of::models ? "id" : "name";
    json all = json::array();
    std::set<std::string> seen;
    for (const auto& body : bodies) {
        auto shallow = [](int depth, json::parse_event_t, json&) { return depth < deepest; };
        auto told = json::parse(body, shallow, false);
        if (!told.is_object())
            continue;
        auto found = told.find(list);
        if (found == told.end() || !found->is_array())
            continue;
        for (auto& one : *found) {
            if (!one.is_object())
                continue;
            bool is_new = seen.insert(canonical_model(text_of(one, name))).second;
            if (is_new || what == listing_of::ps)
                all.push_back(std::move(one));
        }
    }
    json answer = json::object();
    if (what == listing_of::models)
        answer["object"] = "list";
    answer[list] = std::move(all);
    return answer.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace gateway
