// The OpenAI and Anthropic endpoints: what they refuse and how they become Ollama's own requests
// (middleware/openai.go, middleware/anthropic.go). None carries keep_alive or load-time options
// (§4.5).
#include "bench/sim/request_body.hpp"
#include "bench/sim/routes.hpp"
#include "bench/sim/run.hpp"
#include "bench/sim/vectors.hpp"
#include "bench/sim/wishes.hpp"

namespace sim {

namespace {

enum class family { openai, anthropic };

answer v1_failure(const connection& c, family f, const refusal& wrong)
{
    answer a;
    a.status = wrong.status;
    a.body = f == family::openai ? openai_error(wrong.status, wrong.message)
                                 : anthropic_error(wrong.status, wrong.message, c.record->id);
    return a;
}

// The same behind a handler: it has passed through the writer of the middleware.
answer late_failure(const connection& c, family f, const refusal& wrong)
{
    auto a = v1_failure(c, f, wrong);
    a.type = "application/json";
    a.body += '\n';
    return a;
}

std::string text_of(const json& request, const char* key)
{
    auto& v = member(request, key);
    return v.is_string() ? v.get<std::string>() : std::string();
}

bool truth_of(const json& request, const char* key)
{
    auto& v = member(request, key);
    return v.is_boolean() && v.get<bool>();
}

// The body, parsed and an object; false when a refusal has been sent.
awaitable<bool> read_request(connection& c, family f, const char* go_struct, json& request)
{
    std::string body;
    auto here = co_await c.read_all(body);
    if (!here)
        co_return false;
    refusal wrong;
    parsed_json parsed;
    if (lowered(c.head.field("Content-Encoding")) == "zstd") {
        auto plain = unzstd(body);
        if (plain)
            body = std::move(*plain);
        else
            wrong = {400, "failed to decompress zstd body"};
    }
    if (!wrong)
        parsed = parse_go_json(body);
    if (!wrong && !parsed.error.empty())
        wrong = {400, parsed.error};
    else if (!wrong && !parsed.value.is_object())
        wrong = {400, "json: cannot unmarshal into Go value of type " + std::string(go_struct)};
    for (auto [key, type] :
         {std::pair{"model", "string"}, {"stream", "bool"}, {"max_tokens", "int"}})
        if (!wrong)
            wrong = expect(parsed.value, go_struct, key, type);
    if (wrong) {
        auto a = v1_failure(c, f, wrong);
        co_await c.reply(std::move(a));
        co_return false;
    }
    request = std::move(parsed.value);
    co_return true;
}

// ChatHandler and GenerateHandler as they are met behind the middleware.
refusal find_model(connection& c, const std::string& name, const json& request, const char* ability,
                   model_ptr& model)
{
    model = c.at.models.find(name);
    if (name.empty())
        return {400, "model is required"};
    if (!model)
        return {404, "model '" + name + "' not found"};
    if (model->embedding)
        return {400, go_quoted(name) + " does not support " + ability};
    auto& tools = member(request, "tools");
    if (!model->tools && tools.is_array() && !tools.empty())
        return {400, "registry.ollama.ai/library/" + model->name + " does not support tools"};
    return {};
}

// None of these endpoints carries load-time options: those of the Modelfile hold.
want as_it_comes(const connection& c, const model_ptr& model)
{
    wishes w;
    read_options(json::object(), c.at.set.context_length, *model, w);
    return {model, w.load_options, w.context, {}};
}

using make_dialect = std::unique_ptr<dialect> (*)(voice, const json& request);

struct shape {
    family kin = family::openai;
    const char* ability = "chat";
    const char* prompt = "messages";
    const char* limit = "max_tokens";
    make_dialect says = nullptr;
};

awaitable<void> infer(connection& c, const json& request, const shape& s)
{
    auto name = text_of(request, "model");
    model_ptr model;
    auto wrong = find_model(c, name, request, s.ability, model);
    if (wrong) {
        auto a = late_failure(c, s.kin, wrong);
        co_await c.reply(std::move(a));
        co_return;
    }
    auto& prompt = member(request, s.prompt);
    job j;
    voice v;
    v.wall = c.at.wall;
    v.model = name;
    v.usage = truth_of(member(request, "stream_options"), "include_usage");
    j.seed = v.id =
        fnv1a(prompt.dump(-1, ' ', false, json::error_handler_t::replace), fnv1a(model->name));
    j.prompt_tokens = v.prompt_tokens = static_cast<int>(10 + text_bytes(prompt) / 4);
    j.stream = truth_of(request, "stream");
    j.tokens = model->tokens;
    if (auto& n = member(request, s.limit); n.is_number() && n.get<double>() >= 0) {
        // A limit past the natural end would not be reached by a model; here it makes long answers.
        j.tokens = n.get<int>();
        j.limited = true;
    }
    j.says = s.says(std::move(v), request);
    j.wanted = as_it_comes(c, model);
    co_await run(c, std::move(j));
}

awaitable<void> refuse(connection& c, family f, int status, std::string message)
{
    refusal wrong;
    wrong.status = status;
    wrong.message = std::move(message);
    auto a = v1_failure(c, f, wrong);
    co_await c.reply(std::move(a));
}

class v1_embed_dialect final : public dialect {
public:
    v1_embed_dialect(std::string model, std::vector<std::string> inputs, int dimensions,
                     bool packed)
        : model_(std::move(model)),
          inputs_(std::move(inputs)),
          dimensions_(dimensions),
          packed_(packed)
    {
    }
    void piece(frame_sink&, std::string_view) override {}
    void last(frame_sink&, const totals&) override {}
    void broken(frame_sink&, std::string_view) override {}
    std::string error(int status, std::string_view message) const override
    {
        return openai_error(status, message) + '\n';
    }
    std::string whole(std::string_view, const totals& t) override
    {
        std::string out = "{\"object\":\"list\",\"data\":[";
        for (std::size_t i = 0; i < inputs_.size(); ++i) {
            out += i > 0 ? "," : "";
            out += "{\"object\":\"embedding\",\"embedding\":";
            if (packed_)
                out += '"' + base64_vector(inputs_[i], dimensions_) + '"';
            else
                append_vector(out, inputs_[i], dimensions_);
            out += ",\"index\":" + std::to_string(i) + '}';
        }
        auto n = std::to_string(t.prompt_tokens);
        return out + "],\"model\":\"" + go_escaped(model_) +
               "\",\"usage\":{\"prompt_tokens\":" + n + ",\"total_tokens\":" + n + "}}\n";
    }

private:
    std::string model_;
    std::vector<std::string> inputs_;
    int dimensions_;
    bool packed_;
};

}  // namespace

awaitable<void> v1_chat(connection& c)
{
    json request;
    auto good = co_await read_request(c, family::openai, "ChatCompletionRequest", request);
    if (!good)
        co_return;
    auto& messages = member(request, "messages");
    if (!messages.is_array() || messages.empty()) {
        co_await refuse(c, family::openai, 400, "[] is too short - 'messages'");
        co_return;
    }
    shape s;
    s.says = [](voice v, const json&) { return openai_chat(std::move(v)); };
    if (member(request, "max_completion_tokens").is_number())
        s.limit = "max_completion_tokens";
    co_await infer(c, request, s);
}

awaitable<void> v1_completions(connection& c)
{
    json request;
    auto good = co_await read_request(c, family::openai, "CompletionRequest", request);
    if (!good)
        co_return;
    shape s;
    s.ability = "generate";
    s.prompt = "prompt";
    s.says = [](voice v, const json&) { return openai_completion(std::move(v)); };
    co_await infer(c, request, s);
}

awaitable<void> v1_responses(connection& c)
{
    json request;
    auto good = co_await read_request(c, family::openai, "ResponsesRequest", request);
    if (!good)
        co_return;
    auto& input = member(request, "input");
    if (!input.is_null() && !input.is_string() && !input.is_array()) {
        co_await refuse(c, family::openai, 400, "input must be a string or array");
        co_return;
    }
    shape s;
    s.prompt = "input";
    s.limit = "max_output_tokens";
    s.says = [](voice v, const json& r) { return openai_responses(std::move(v), r); };
    co_await infer(c, request, s);
}

awaitable<void> v1_messages(connection& c)
{
    json request;
    auto good = co_await read_request(c, family::anthropic, "MessagesRequest", request);
    if (!good)
        co_return;
    auto& messages = member(request, "messages");
    auto& limit = member(request, "max_tokens");
    std::string wrong;
    if (text_of(request, "model").empty())
        wrong = "model is required";
    else if (!limit.is_number() || limit.get<double>() <= 0)
        wrong = "max_tokens is required and must be positive";
    else if (!messages.is_array() || messages.empty())
        wrong = "messages is required";
    if (!wrong.empty()) {
        co_await refuse(c, family::anthropic, 400, wrong);
        co_return;
    }
    shape s;
    s.kin = family::anthropic;
    s.says = [](voice v, const json&) { return anthropic_messages(std::move(v)); };
    co_await infer(c, request, s);
}

awaitable<void> v1_transcriptions(connection& c)
{
    std::string body;
    auto here = co_await c.read_all(body);
    if (!here)
        co_return;
    auto form = parse_form(c.head.field("Content-Type"), body);
    if (!form) {
        co_await refuse(c, family::openai, 400, "request Content-Type isn't multipart/form-data");
        co_return;
    }
    if ((*form)["model"].empty()) {
        co_await refuse(c, family::openai, 400, "model is required");
        co_return;
    }
    if ((*form)["file"].empty()) {
        co_await refuse(c, family::openai, 400, "file is required");
        co_return;
    }
    auto request = json::object();
    request["model"] = (*form)["model"];
    request["response_format"] = (*form)["response_format"];
    request["file"] = sha256_hex((*form)["file"]);
    shape s;
    s.prompt = "file";
    s.says = [](voice v, const json& r) {
        return openai_transcription(std::move(v), text_of(r, "response_format"));
    };
    co_await infer(c, request, s);
}

awaitable<void> v1_embeddings(connection& c)
{
    json request;
    auto good = co_await read_request(c, family::openai, "EmbedRequest", request);
    if (!good)
        co_return;
    auto& input = member(request, "input");
    std::vector<std::string> inputs;
    auto format = lowered(text_of(request, "encoding_format"));
    std::string wrong;
    if (!format.empty() && format != "float" && format != "base64")
        wrong = "Invalid value for 'encoding_format' = " + text_of(request, "encoding_format") +
                ". Supported values: ['float', 'base64'].";
    else if (input.is_null() || (input.is_array() && input.empty()) || !read_inputs(input, inputs))
        wrong = "invalid input";
    if (!wrong.empty()) {
        co_await refuse(c, family::openai, 400, wrong);
        co_return;
    }
    if (inputs.empty())
        inputs.emplace_back();
    auto name = text_of(request, "model");
    auto model = c.at.models.find(name);
    if (!model) {
        refusal none;
        none.status = 404;
        none.message = name.empty()
                           ? "model '' not found"
                           : "model " + go_quoted(name) + " not found, try pulling it first";
        auto a = late_failure(c, family::openai, none);
        co_await c.reply(std::move(a));
        co_return;
    }
    auto dimensions = model->dimensions;
    if (auto& d = member(request, "dimensions"); d.is_number() && d.get<double>() > 0)
        dimensions = std::min(dimensions, d.get<int>());
    job j;
    j.embeds = true;
    j.turns = static_cast<int>(inputs.size());
    for (auto& one : inputs)
        j.prompt_tokens += static_cast<int>(1 + one.size() / 4);
    j.says =
        std::make_unique<v1_embed_dialect>(name, std::move(inputs), dimensions, format == "base64");
    j.wanted = as_it_comes(c, model);
    co_await run(c, std::move(j));
}

}  // namespace sim
