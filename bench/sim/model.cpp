#include "bench/sim/model.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace sim {

namespace {

template <class T>
bool read_number(std::string_view text, T& out)
{
    auto read = std::from_chars(text.data(), text.data() + text.size(), out);
    return read.ec == std::errc() && read.ptr == text.data() + text.size() && out >= 0;
}

bool read_duration(std::string_view text, duration& out)
{
    auto parsed = parse_go_duration(text);
    out = parsed.value;
    return parsed.error.empty() && out >= duration::zero();
}

bool read_size(std::string_view text, std::uint64_t& out)
{
    auto parsed = parse_size(text);
    out = parsed.value_or(0);
    return parsed.has_value();
}

}  // namespace

bool is_load_time(std::string_view option)
{
    static constexpr std::array<std::string_view, 7> all{
        "num_ctx",  "num_batch",  "num_gpu",          "main_gpu",
        "use_mmap", "num_thread", "draft_num_predict"};
    return std::find(all.begin(), all.end(), option) != all.end();
}

void identify(model_spec& model, std::string_view file)
{
    model.blob = sha256_hex(file.empty() ? "weights of " + model.name : std::string(file));
    model.digest = sha256_hex("manifest of " + model.name + ' ' + model.blob);
}

parsed_model parse_model(std::string_view text)
{
    parsed_model out;
    auto& m = out.model;
    std::string_view file;
    bool first = true;
    while (!text.empty()) {
        auto comma = std::min(text.find(','), text.size());
        auto part = trimmed(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
        if (first) {
            m.name = canonical_name(part);
            if (m.name.empty())
                out.error = "not a model name: " + std::string(part);
            first = false;
            continue;
        }
        auto equals = part.find('=');
        auto key = part.substr(0, equals);
        auto value =
            equals == std::string_view::npos ? std::string_view("1") : part.substr(equals + 1);
        bool good = true;
        int flag = 0;
        if (key == "size")
            good = read_size(value, m.size);
        else if (key == "vram")
            good = read_size(value, m.vram);
        else if (key == "cache")
            good = read_size(value, m.cache);
        else if (key == "load")
            good = read_duration(value, m.load);
        else if (key == "prompt")
            good = read_duration(value, m.prompt);
        else if (key == "pull")
            good = read_duration(value, m.pull);
        else if (key == "rate")
            good = read_number(value, m.rate);
        else if (key == "tokens")
            good = read_number(value, m.tokens);
        else if (key == "ctx")
            good = read_number(value, m.context);
        else if (key == "dim")
            good = read_number(value, m.dimensions);
        else if (key == "embedding" && (good = read_number(value, flag)))
            m.embedding = flag != 0;
        else if (key == "tools" && (good = read_number(value, flag)))
            m.tools = flag != 0;
        else if (key == "thinking" && (good = read_number(value, flag)))
            m.thinking = flag != 0;
        else if (key == "file")
            file = value;
        else if (key == "family")
            m.family = value;
        else if (is_load_time(key))
            good = read_number(value, m.parameters[std::string(key)]);
        else
            good = false;
        if (!good && out.error.empty())
            out.error = "not understood: " + std::string(part);
    }
    if (first)
        out.error = "a model needs a name";
    identify(m, file);
    return out;
}

std::string canonical_name(std::string_view name)
{
    auto low = lowered(trimmed(name));
    std::string_view rest = low;
    if (auto scheme = rest.find("://"); scheme != std::string_view::npos)
        rest.remove_prefix(scheme + 3);
    if (rest.starts_with("registry.ollama.ai/"))
        rest.remove_prefix(19);
    if (rest.starts_with("library/"))
        rest.remove_prefix(8);
    auto slash = rest.rfind('/');
    auto colon = rest.find(':', slash == std::string_view::npos ? 0 : slash);
    auto model = rest.substr(slash == std::string_view::npos ? 0 : slash + 1,
                             colon == std::string_view::npos
                                 ? std::string_view::npos
                                 : colon - (slash == std::string_view::npos ? 0 : slash + 1));
    auto tag =
        colon == std::string_view::npos ? std::string_view("latest") : rest.substr(colon + 1);
    auto valid = [](std::string_view part) {
        if (part.empty() || part.size() > 80 || part[0] == '-' || part[0] == '.')
            return false;
        for (char c : part)
            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                  c == '.'))
                return false;
        return true;
    };
    if (!valid(model) || !valid(tag))
        return {};
    auto whole = std::string(rest.substr(0, colon));
    return whole + ':' + std::string(tag);
}

void library::put(model_spec model)
{
    auto name = model.name;
    models_[name] = std::make_shared<const model_spec>(std::move(model));
}

bool library::remove(std::string_view name)
{
    return models_.erase(canonical_name(name)) > 0;
}

model_ptr library::find(std::string_view name) const
{
    auto found = models_.find(canonical_name(name));
    return found == models_.end() ? nullptr : found->second;
}

std::vector<model_ptr> library::all() const
{
    std::vector<model_ptr> out;
    for (auto& [name, model] : models_)
        out.push_back(model);
    return out;
}

std::vector<model_spec> default_models()
{
    std::vector<model_spec> out;
    for (std::string_view text : {
             "llama3:latest,size=4.7GB,load=1s,prompt=100ms,rate=40,tokens=50",
             "mistral:latest,size=4.1GB,load=1s,prompt=100ms,rate=50,tokens=50,family=mistral",
             "qwen2.5:14b,size=9GB,load=2s,prompt=200ms,rate=25,tokens=60,family=qwen2",
             "deepseek-r1:32b,size=19.9GB,load=4s,prompt=400ms,rate=12,tokens=80,thinking,"
             "family=qwen2",
             "llama3.3:70b,size=42.5GB,load=8s,prompt=800ms,rate=5,tokens=60",
             "nomic-embed-text:latest,size=274MB,load=300ms,prompt=10ms,embedding,ctx=2048,dim=768,"
             "tools=0,family=nomic-bert",
         })
        out.push_back(parse_model(text).model);
    return out;
}

}  // namespace sim
