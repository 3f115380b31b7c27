#include "bench/sim/faults.hpp"

#include <array>
#include <charconv>
#include <utility>

#include "bench/sim/model.hpp"

namespace sim {

namespace {

constexpr std::array<std::pair<std::string_view, fault_kind>, 22> names{{
    {"status", fault_kind::status},
    {"busy", fault_kind::busy},
    {"hang", fault_kind::hang},
    {"garbage", fault_kind::garbage},
    {"reset_head", fault_kind::reset_head},
    {"close_head", fault_kind::close_head},
    {"slow", fault_kind::slow},
    {"split", fault_kind::split},
    {"extra_after", fault_kind::extra_after},
    {"close_after", fault_kind::close_after},
    {"silent_head", fault_kind::silent_head},
    {"silent_mid", fault_kind::silent_mid},
    {"reset_mid", fault_kind::reset_mid},
    {"early_end", fault_kind::early_end},
    {"no_done", fault_kind::no_done},
    {"bad_chunk", fault_kind::bad_chunk},
    {"error_line", fault_kind::error_line},
    {"load_fail", fault_kind::load_fail},
    {"load_hang", fault_kind::load_hang},
    {"load_slow", fault_kind::load_slow},
    {"unload_noop", fault_kind::unload_noop},
    {"ps_hang", fault_kind::ps_hang},
}};

fault_stage stage_of(fault_kind kind)
{
    if (kind <= fault_kind::close_head)
        return fault_stage::before;
    if (kind <= fault_kind::close_after)
        return fault_stage::manner;
    if (kind <= fault_kind::error_line)
        return fault_stage::run;
    if (kind <= fault_kind::load_slow)
        return fault_stage::load;
    return kind == fault_kind::unload_noop ? fault_stage::unload : fault_stage::ps;
}

}  // namespace

std::optional<fault_kind> fault_kind_named(std::string_view name)
{
    for (auto& [text, kind] : names)
        if (text == name)
            return kind;
    return std::nullopt;
}

std::string_view name_of(fault_kind kind)
{
    for (auto& [text, one] : names)
        if (one == kind)
            return text;
    return "";
}

std::string fault_table::add(const json& object)
{
    fault f;
    auto text = [&](const char* key, std::string& out) {
        auto& v = member(object, key);
        if (v.is_string())
            out = v.get<std::string>();
        return v.is_null() || v.is_string();
    };
    auto number = [&](const char* key, int& out) {
        auto& v = member(object, key);
        if (v.is_number())
            out = static_cast<int>(v.get<double>());
        return v.is_null() || v.is_number();
    };
    std::string kind;
    int count = 0;
    if (!object.is_object() || !text("model", f.model) || !text("kind", kind) ||
        !text("path", f.path) || !text("text", f.text) || !number("count", count) ||
        !number("after", f.after) || !number("ms", f.ms) || !number("status", f.status) ||
        !number("size", f.size))
        return "a fault is "
               "{\"model\",\"kind\",\"count\",\"path\",\"after\",\"ms\",\"status\",\"size\","
               "\"text\"}";
    auto known = fault_kind_named(kind);
    if (!known)
        return "unknown kind: " + kind;
    f.kind = *known;
    if (f.status == 0)
        f.status = f.kind == fault_kind::busy ? 503 : 500;
    if (f.size < 1 || f.after < 0 || f.ms < 0 || f.status < 200 || f.status > 999)
        return "a number is out of range";
    f.left = count > 0 ? count : -1;
    if (f.model != "*") {
        auto canonical = canonical_name(f.model);
        if (canonical.empty())
            return "not a model name: " + f.model;
        f.model = canonical;
    }
    if (f.text.empty())
        f.text = f.kind == fault_kind::load_fail
                     ? "llama-server process has terminated: exit status 2"
                 : f.kind == fault_kind::busy
                     ? "server busy, please try again.  maximum pending requests exceeded"
                     : "an error was encountered while running the model: unexpected EOF";
    faults_.push_back(std::move(f));
    return {};
}

std::string fault_table::add(std::string_view flag)
{
    auto comma = std::min(flag.find(','), flag.size());
    auto first = flag.substr(0, comma);
    auto rest = flag.substr(std::min(comma + 1, flag.size()));
    json object = json::object();
    // From the right: model names have colons of their own.
    auto colon = first.rfind(':');
    if (colon == std::string_view::npos)
        return "a fault is model:kind[:count]";
    auto tail = first.substr(colon + 1);
    int count = 0;
    if (std::from_chars(tail.data(), tail.data() + tail.size(), count).ptr ==
            tail.data() + tail.size() &&
        !tail.empty()) {
        object["count"] = count;
        first = first.substr(0, colon);
        colon = first.rfind(':');
        if (colon == std::string_view::npos)
            return "a fault is model:kind[:count]";
        tail = first.substr(colon + 1);
    }
    object["kind"] = std::string(tail);
    object["model"] = std::string(first.substr(0, colon));
    while (!rest.empty()) {
        comma = std::min(rest.find(','), rest.size());
        auto part = rest.substr(0, comma);
        rest.remove_prefix(std::min(comma + 1, rest.size()));
        auto equals = part.find('=');
        if (equals == std::string_view::npos)
            return "not understood: " + std::string(part);
        auto key = std::string(part.substr(0, equals));
        auto value = part.substr(equals + 1);
        int n = 0;
        if (key == "text" || key == "path")
            object[key] = std::string(value);
        else if (std::from_chars(value.data(), value.data() + value.size(), n).ec == std::errc())
            object[key] = n;
        else
            return "not understood: " + std::string(part);
    }
    return add(object);
}

std::optional<fault> fault_table::take(fault_stage stage, std::string_view model,
                                       std::string_view path, bool runs)
{
    for (auto it = faults_.begin(); it != faults_.end(); ++it) {
        if (stage_of(it->kind) != stage || (it->model != "*" && it->model != model))
            continue;
        bool by_request = stage == fault_stage::before || stage == fault_stage::manner;
        if (it->path.empty() ? by_request && !runs : it->path != path)
            continue;
        auto out = *it;
        if (it->left > 0 && --it->left == 0)
            faults_.erase(it);
        return out;
    }
    return std::nullopt;
}

void fault_table::clear(std::string_view model)
{
    if (model.empty())
        faults_.clear();
    else
        std::erase_if(faults_, [&](auto& f) { return f.model == model; });
}

json fault_table::list() const
{
    auto out = json::array();
    for (auto& f : faults_)
        out.push_back({{"model", f.model},
                       {"kind", name_of(f.kind)},
                       {"count", f.left < 0 ? 0 : f.left},
                       {"path", f.path}});
    return out;
}

}  // namespace sim
