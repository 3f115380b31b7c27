#include "models/estimate.hpp"

#include "base/text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <limits>

namespace gateway {
namespace {

using nlohmann::json;

// sched.go: "Some architectures are not safe with num_parallel > 1."
constexpr std::array<std::string_view, 11> one_at_a_time = {
    "mllama", "qwen3vl", "qwen3vlmoe", "qwen35",         "qwen35moe",      "qwen3next",
    "lfm2",   "lfm2moe", "nemotron_h", "nemotron_h_moe", "nemotron_h_omni"};

// A number that no model has is none; so small ones can be multiplied without a thought.
constexpr double largest = 1e9;

// An object under `key`; an empty one when there is none.
const json& object_of(const json& from, const char* key)
{
    static const json none = json::object();
    const auto found = from.find(key);
    return found != from.end() && found->is_object() ? *found : none;
}

std::string text_of(const json& object, const std::string& key)
{
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool has_text(const json& object, const char* key, std::string_view wanted)
{
    const auto found = object.find(key);
    return found != object.end() && found->is_array() &&
           std::any_of(found->begin(), found->end(), [&](const json& one) {
               return one.is_string() && one.get_ref<const std::string&>() == wanted;
           });
}

std::uint64_t whole(const json& value)
{
    const auto n = value.is_number() ? value.get<double>() : 0;
    return n >= 1 && n <= largest ? static_cast<std::uint64_t>(n) : 0;
}

// Some models have one number for each layer. 0: none.
struct range {
    std::uint64_t smallest = 0;
    std::uint64_t biggest = 0;
};
range numbers_of(const json& object, const std::string& key)
{
    const auto found = object.find(key);
    if (found == object.end()) {
        return {};
    }
    if (!found->is_array()) {
        return {whole(*found), whole(*found)};
    }
    range r;
    for (const auto& one : *found) {
        const auto n = whole(one);
        r.smallest = r.biggest == 0 ? n : std::min(r.smallest, n);
        r.biggest = std::max(r.biggest, n);
    }
    return r;
}

// The blob of the first FROM line; further ones are projectors.
std::string runner_of(std::string_view modelfile)
{
    constexpr std::string_view blob = "sha256-";
    constexpr std::size_t digits = 64;
    while (!modelfile.empty()) {
        const auto newline = modelfile.find('\n');
        const auto line = trim(modelfile.substr(0, newline));
        modelfile.remove_prefix(newline == modelfile.npos ? modelfile.size() : newline + 1);
        if (!istarts_with(line, "FROM ")) {
            continue;
        }
        const auto at = line.rfind(blob);
        if (at == line.npos || line.size() != at + blob.size() + digits) {
            return {};
        }
        const auto digest = line.substr(at + blob.size());
        const bool hex = digest.find_first_not_of("0123456789abcdef") == digest.npos;
        return hex ? std::string(line.substr(at)) : std::string();
    }
    return {};
}

// PredictServerVRAM: K and V, each layers × heads × head size × 2 bytes.
std::uint64_t cache_per_token(const json& info, const std::string& architecture)
{
    const auto layers = numbers_of(info, architecture + ".block_count").biggest;
    const auto embedding = numbers_of(info, architecture + ".embedding_length").biggest;
    const auto heads = numbers_of(info, architecture + ".attention.head_count").biggest;
    const auto shared = numbers_of(info, architecture + ".attention.head_count_kv").smallest;
    const auto head = embedding / std::max<std::uint64_t>(heads, 1);
    const double bytes = 4.0 * static_cast<double>(layers) *
                         static_cast<double>(std::max<std::uint64_t>(shared, 1)) *
                         static_cast<double>(head);
    return bytes < largest ? static_cast<std::uint64_t>(bytes) : 0;
}

}  // namespace

std::optional<model_facts> parse_show(std::string_view text)
{
    // Tensors and tokens, which a verbose answer has megabytes of, and what is deeper than any
    // model's description, are not built.
    std::string key;
    auto wanted = [&](int depth, json::parse_event_t event, json& value) {
        if (event == json::parse_event_t::key && depth == 1) {
            key = value.get<std::string>();
        }
        return depth < 16 && (depth == 0 || (key != "tensors" && key != "license"));
    };
    const auto show = json::parse(text, wanted, false);
    if (!show.is_object() || (!show.contains("modelfile") && !show.contains("details") &&
                              !show.contains("model_info"))) {
        return std::nullopt;
    }
    model_facts facts;
    facts.runner = runner_of(text_of(show, "modelfile"));
    facts.parameters = text_of(show, "parameters");
    // Versions before v0.6.4 tell no capabilities.
    facts.embedding = has_text(show, "capabilities", "embedding") &&
                      !has_text(show, "capabilities", "completion");
    facts.remote = !text_of(show, "remote_host").empty();

    const auto& details = object_of(show, "details");
    const auto family = text_of(details, "family");
    facts.shifts = family != "deepseek2" && !has_text(details, "families", "deepseek2");
    facts.one_at_a_time = facts.embedding || std::find(one_at_a_time.begin(), one_at_a_time.end(),
                                                       family) != one_at_a_time.end();

    const auto& info = object_of(show, "model_info");
    const auto architecture = text_of(info, "general.architecture");
    facts.trained_context = numbers_of(info, architecture + ".context_length").biggest;
    facts.cache_per_token = cache_per_token(info, architecture);
    return facts;
}

std::uint64_t estimated_vram(const model_facts& facts, std::uint64_t file, std::uint64_t num_ctx,
                             unsigned parallel)
{
    if (facts.remote) {
        return 0;
    }
    const auto context =
        facts.trained_context == 0 ? num_ctx : std::min(num_ctx, facts.trained_context);
    const auto at_once = facts.one_at_a_time ? 1 : std::max(parallel, 1u);
    const double cache = static_cast<double>(context) * static_cast<double>(at_once) *
                         static_cast<double>(facts.cache_per_token);
    constexpr auto most = std::numeric_limits<std::uint64_t>::max();
    // Exact where a model is: below 2^53 bytes.
    if (cache >= 9e18) {
        return most;
    }
    const auto bytes = static_cast<std::uint64_t>(cache);
    return file > most - bytes ? most : file + bytes;
}

}  // namespace gateway
