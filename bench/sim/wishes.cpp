#include "bench/sim/wishes.hpp"

#include <cmath>
#include <string_view>

namespace sim {

namespace {

std::string_view json_kind(const json& v)
{
    switch (v.type()) {
        case json::value_t::string: return "string";
        case json::value_t::boolean: return "bool";
        case json::value_t::object: return "object";
        case json::value_t::array: return "array";
        default: return "number";
    }
}

bool integral(const json& v)
{
    return v.is_number() && std::floor(v.get<double>()) == v.get<double>() &&
           std::abs(v.get<double>()) < 1e9;
}

}  // namespace

refusal expect(const json& object, const char* go_struct, const char* key, std::string_view type)
{
    auto& v = member(object, key);
    bool good = v.is_null() || (type == "string" && v.is_string()) ||
                (type == "bool" && v.is_boolean()) || (type == "int" && v.is_number_integer()) ||
                (type == "map[string]interface {}" && v.is_object());
    if (good)
        return {};
    return {400, "json: cannot unmarshal " + std::string(json_kind(v)) + " into Go struct field " +
                     go_struct + '.' + key + " of type " + std::string(type)};
}

refusal read_keep_alive(const json& value, std::optional<duration>& out)
{
    if (value.is_null())
        return {};
    if (value.is_number()) {
        auto seconds = value.get<double>();
        // Past 64 bits of nanoseconds Go's conversion is what the processor makes of it; here it is
        // for ever.
        out = seconds < 0 || seconds > 9.2e9
                  ? forever
                  : std::chrono::duration_cast<duration>(std::chrono::duration<double>(seconds));
        return {};
    }
    if (value.is_string()) {
        auto parsed = parse_go_duration(value.get<std::string>());
        if (!parsed.error.empty())
            return {400, parsed.error};
        out = parsed.value < duration::zero() ? forever : parsed.value;
        return {};
    }
    std::string_view type = value.is_boolean()  ? "bool"
                            : value.is_object() ? "map[string]interface {}"
                                                : "[]interface {}";
    return {400, "Unsupported type: '" + std::string(type) + "'"};
}

refusal read_options(const json& request, int default_context, const model_spec& model, wishes& out)
{
    // What Ollama takes where neither the request nor the model says anything (api.DefaultOptions).
    // needsReload compares values, not who named them: an explicit num_ctx of the default's size is
    // no difference. main_gpu and use_mmap are pointers there: naming one is one.
    struct option {
        const char* key;
        bool flag = false;
        std::optional<int> usual = {};
    };
    auto context = std::min(default_context, model.context);
    const option load_time[] = {{"num_ctx", false, context},
                                {"num_batch", false, 512},
                                {"num_gpu", false, -1},
                                {"main_gpu"},
                                {"use_mmap", true},
                                {"num_thread", false, 0},
                                {"draft_num_predict", false, 0}};
    auto& options = member(request, "options");
    out.context = context;
    for (const char* key : {"num_predict", "top_k", "seed", "num_keep", "repeat_last_n"})
        if (auto& v = member(options, key); !v.is_null() && !integral(v))
            return {500, "option " + go_quoted(key) + " must be of type integer"};
    for (const char* key : {"temperature", "top_p", "min_p"})
        if (auto& v = member(options, key); !v.is_null() && !v.is_number())
            return {500, "option " + go_quoted(key) + " must be of type float32"};
    for (auto& [key, flag, usual] : load_time) {
        auto& v = member(options, key);
        if (!v.is_null() && (flag ? !v.is_boolean() : !integral(v)))
            return {500, "option " + go_quoted(key) + " must be of type " +
                             (flag ? "boolean" : "integer")};
        auto value = usual;
        if (auto own = model.parameters.find(key); own != model.parameters.end())
            value = own->second;
        if (!v.is_null())
            value = flag ? static_cast<int>(v.get<bool>()) : static_cast<int>(v.get<double>());
        if (std::string_view(key) == "num_ctx") {
            value = std::min(*value, model.context);
            out.context = *value;
        }
        if (std::string_view(key) == "num_gpu" && *value < 0)
            value = usual;
        if (value != usual)
            out.load_options += std::string(key) + '=' + std::to_string(*value) + ';';
    }
    if (auto& shift = member(request, "shift"); shift.is_boolean() && !shift.get<bool>())
        out.load_options += "shift=0;";
    if (auto& n = member(options, "num_predict"); n.is_number() && n.get<double>() >= 0)
        out.num_predict = static_cast<int>(n.get<double>());
    return {};
}

std::size_t text_bytes(const json& value)
{
    if (value.is_string())
        return value.get_ref<const std::string&>().size();
    if (!value.is_structured())
        return 0;
    // Not by recursion: the depth is the client's choice.
    std::size_t sum = 0;
    std::vector<const json*> open{&value};
    while (!open.empty()) {
        auto* v = open.back();
        open.pop_back();
        for (auto& child : *v) {
            if (child.is_string())
                sum += child.get_ref<const std::string&>().size();
            else if (child.is_structured())
                open.push_back(&child);
        }
    }
    return sum;
}

}  // namespace sim
