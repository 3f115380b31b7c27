// Ollama's own inference endpoints: what they refuse, in which order and in which words
// (server/routes.go).
#include <cmath>

#include "bench/sim/routes.hpp"
#include "bench/sim/run.hpp"
#include "bench/sim/strikes.hpp"
#include "bench/sim/vectors.hpp"
#include "bench/sim/wishes.hpp"

namespace sim {

answer native_failure(int status, std::string_view message)
{
    answer a;
    a.status = status;
    a.body = native_error(message);
    return a;
}

namespace {

std::string name_in(const json& request)
{
    auto& v = member(request, "model");
    return v.is_string() ? v.get<std::string>() : std::string();
}

refusal check_types(const json& request, const char* go_struct)
{
    for (auto [key, type] : {std::pair{"model", "string"},
                             {"prompt", "string"},
                             {"system", "string"},
                             {"template", "string"},
                             {"suffix", "string"},
                             {"stream", "bool"},
                             {"raw", "bool"},
                             {"shift", "bool"},
                             {"truncate", "bool"},
                             {"dimensions", "int"},
                             {"options", "map[string]interface {}"}})
        if (auto wrong = expect(request, go_struct, key, type))
            return wrong;
    return {};
}

// The body, parsed; a refusal has been sent when it is null.
awaitable<bool> read_request(connection& c, const char* go_struct, json& request,
                             std::optional<duration>& keep_alive)
{
    std::string body;
    auto here = co_await c.read_value(body);
    if (!here)
        co_return false;
    auto parsed = parse_go_json(body);
    refusal wrong;
    if (parsed.error == "EOF")
        wrong = {400, "missing request body"};
    else if (!parsed.error.empty())
        wrong = {400, parsed.error};
    else if (!parsed.value.is_object() && !parsed.value.is_null())
        wrong = {400, std::string("json: cannot unmarshal ") +
                          (parsed.value.is_array()     ? "array"
                           : parsed.value.is_string()  ? "string"
                           : parsed.value.is_boolean() ? "bool"
                                                       : "number") +
                          " into Go value of type api." + go_struct};
    else
        wrong = check_types(parsed.value, go_struct);
    if (!wrong)
        wrong = read_keep_alive(member(parsed.value, "keep_alive"), keep_alive);
    if (wrong) {
        auto a = native_failure(wrong.status, wrong.message);
        co_await c.reply(std::move(a));
        co_return false;
    }
    request = std::move(parsed.value);
    co_return true;
}

bool wants_thinking(const json& request)
{
    auto& v = member(request, "think");
    return (v.is_boolean() && v.get<bool>()) || v.is_string();
}

// GenerateHandler and ChatHandler from the lookup of the model on.
awaitable<void> infer(connection& c, const json& request, std::optional<duration> keep_alive,
                      bool chats)
{
    auto name = name_in(request);
    auto& prompt = member(request, chats ? "messages" : "prompt");
    bool empty = prompt.is_null() || prompt.empty() ||
                 (prompt.is_string() && prompt.get_ref<const std::string&>().empty());
    answer refused;
    auto model = c.at.models.find(name);
    if (chats && name.empty())
        refused = native_failure(400, "model is required");
    else if (!name.empty() && canonical_name(name).empty())
        refused = native_failure(400, "invalid model name");
    else if (!model)
        refused = native_failure(404, "model '" + name + "' not found");
    if (refused.status != 200) {
        co_await c.reply(std::move(refused));
        co_return;
    }
    c.record->model = model->name;
    job j;
    voice v;
    v.wall = c.at.wall;
    v.model = name;
    j.seed = v.id =
        fnv1a(prompt.dump(-1, ' ', false, json::error_handler_t::replace), fnv1a(model->name));
    j.prompt_tokens = v.prompt_tokens =
        static_cast<int>(10 + (text_bytes(prompt) + text_bytes(member(request, "system"))) / 4);
    auto& raw = member(request, "raw");
    v.context = !chats && !(raw.is_boolean() && raw.get<bool>());
    j.says = chats ? native_chat(std::move(v)) : native_generate(std::move(v));

    if (empty && keep_alive && *keep_alive == duration::zero()) {
        // Before capabilities and scheduling: it never loads anything (routes.go:403).
        auto wrong = c.at.faults.take(fault_stage::before, model->name, c.head.path, false);
        if (wrong) {
            co_await strike_before(c, *wrong, j.says.get());
            co_return;
        }
        auto manner = c.at.faults.take(fault_stage::manner, model->name, c.head.path, false);
        if (manner)
            apply_manner(c, *manner);
        c.at.sched.unload(model->blob, steady::now());
        c.at.scheduled();
        totals t;
        t.reason = "unload";
        answer a;
        a.body = j.says->whole({}, t);
        co_await c.reply(std::move(a));
        finish_manner(c, manner);
        co_return;
    }
    wishes w;
    auto wrong = read_options(request, c.at.set.context_length, *model, w);
    auto full_name = "registry.ollama.ai/library/" + model->name;
    if (model->embedding)
        wrong = {400, go_quoted(name) + " does not support " + (chats ? "chat" : "generate")};
    else if (wants_thinking(request) && !model->thinking)
        wrong = {400, go_quoted(name) + " does not support thinking"};
    else if (!model->tools && member(request, "tools").is_array() &&
             !member(request, "tools").empty())
        wrong = {400, full_name + " does not support tools"};
    if (wrong) {
        auto a = native_failure(wrong.status, wrong.message);
        co_await c.reply(std::move(a));
        co_return;
    }
    auto& stream = member(request, "stream");
    j.load_only = empty;
    j.stream = !stream.is_boolean() || stream.get<bool>();
    j.tokens = w.num_predict.value_or(model->tokens);
    j.limited = w.num_predict.has_value();
    j.wanted = {model, w.load_options, w.context, keep_alive};
    co_await run(c, std::move(j));
}

awaitable<void> infer_request(connection& c, bool chats)
{
    json request;
    std::optional<duration> keep_alive;
    auto* go_struct = chats ? "ChatRequest" : "GenerateRequest";
    auto good = co_await read_request(c, go_struct, request, keep_alive);
    if (good)
        co_await infer(c, request, keep_alive, chats);
}

class embed_dialect final : public dialect {
public:
    embed_dialect(std::string model, std::vector<std::string> inputs, int dimensions)
        : model_(std::move(model)), inputs_(std::move(inputs)), dimensions_(dimensions)
    {
    }
    void piece(frame_sink&, std::string_view) override {}
    void last(frame_sink&, const totals&) override {}
    void broken(frame_sink&, std::string_view) override {}
    std::string_view whole_type() const override { return "application/json; charset=utf-8"; }
    std::string_view error_type() const override { return whole_type(); }
    std::string error(int, std::string_view message) const override
    {
        return native_error(message);
    }
    std::string whole(std::string_view, const totals& t) override
    {
        std::string out = "{\"model\":\"" + go_escaped(model_) + "\",\"embeddings\":[";
        for (std::size_t i = 0; i < inputs_.size(); ++i) {
            if (i > 0)
                out += ',';
            append_vector(out, inputs_[i], dimensions_);
        }
        out += ']';
        auto put = [&](std::string_view key, std::int64_t value) {
            if (value > 0) {
                out += ",\"";
                out += key;
                out += "\":" + std::to_string(value);
            }
        };
        put("total_duration", t.total);
        put("load_duration", t.load);
        put("prompt_eval_count", t.prompt_tokens);
        return out + '}';
    }

private:
    std::string model_;
    std::vector<std::string> inputs_;
    int dimensions_;
};

// The old /api/embeddings.
class embedding_dialect final : public dialect {
public:
    embedding_dialect(std::string input, int dimensions)
        : input_(std::move(input)), dimensions_(dimensions)
    {
    }
    void piece(frame_sink&, std::string_view) override {}
    void last(frame_sink&, const totals&) override {}
    void broken(frame_sink&, std::string_view) override {}
    std::string_view whole_type() const override { return "application/json; charset=utf-8"; }
    std::string_view error_type() const override { return whole_type(); }
    std::string error(int, std::string_view message) const override
    {
        return native_error(message);
    }
    std::string whole(std::string_view, const totals&) override
    {
        std::string out = "{\"embedding\":";
        if (input_.empty())
            out += "[]";
        else
            append_vector(out, input_, dimensions_);
        return out + '}';
    }

private:
    std::string input_;
    int dimensions_;
};

}  // namespace

awaitable<void> generate(connection& c)
{
    co_await infer_request(c, false);
}

awaitable<void> chat(connection& c)
{
    co_await infer_request(c, true);
}

awaitable<void> embed(connection& c)
{
    json request;
    std::optional<duration> keep_alive;
    auto good = co_await read_request(c, "EmbedRequest", request, keep_alive);
    if (!good)
        co_return;
    auto name = name_in(request);
    std::vector<std::string> inputs;
    auto& input = member(request, "input");
    refusal wrong;
    if (!read_inputs(input, inputs))
        wrong = {400, "invalid input type"};
    auto model = c.at.models.find(name);
    if (!wrong && name.empty())
        wrong = {404, "model '' not found"};
    else if (!wrong && canonical_name(name).empty())
        wrong = {400, "invalid model name"};
    else if (!wrong && !model)
        wrong = {404, "model " + go_quoted(name) + " not found, try pulling it first"};
    wishes w;
    if (!wrong)
        wrong = read_options(request, c.at.set.context_length, *model, w);
    if (wrong) {
        auto a = native_failure(wrong.status, wrong.message);
        co_await c.reply(std::move(a));
        co_return;
    }
    auto dimensions = model->dimensions;
    if (auto& d = member(request, "dimensions"); d.is_number() && d.get<int>() > 0)
        dimensions = std::min(dimensions, d.get<int>());
    job j;
    j.embeds = true;
    j.load_only = inputs.empty();
    j.turns = static_cast<int>(inputs.size());
    for (auto& one : inputs)
        j.prompt_tokens += static_cast<int>(1 + one.size() / 4);
    j.says = std::make_unique<embed_dialect>(name, std::move(inputs), dimensions);
    j.wanted = {model, w.load_options, w.context, keep_alive};
    co_await run(c, std::move(j));
}

awaitable<void> embeddings(connection& c)
{
    json request;
    std::optional<duration> keep_alive;
    auto good = co_await read_request(c, "EmbeddingRequest", request, keep_alive);
    if (!good)
        co_return;
    auto name = name_in(request);
    auto model = c.at.models.find(name);
    refusal wrong;
    if (name.empty())
        wrong = {400, "model is required"};
    else if (!model)
        wrong = {404, "model " + go_quoted(name) + " not found, try pulling it first"};
    wishes w;
    if (!wrong)
        wrong = read_options(request, c.at.set.context_length, *model, w);
    if (wrong) {
        auto a = native_failure(wrong.status, wrong.message);
        co_await c.reply(std::move(a));
        co_return;
    }
    auto& v = member(request, "prompt");
    auto prompt = v.is_string() ? v.get<std::string>() : std::string();
    job j;
    j.embeds = true;
    j.load_only = prompt.empty();
    j.prompt_tokens = static_cast<int>(1 + prompt.size() / 4);
    j.says = std::make_unique<embedding_dialect>(std::move(prompt), model->dimensions);
    j.wanted = {model, w.load_options, w.context, keep_alive};
    co_await run(c, std::move(j));
}

}  // namespace sim
