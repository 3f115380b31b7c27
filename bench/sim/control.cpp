// The simulation's own endpoints, for those who test against it: /sim/stats, /sim/requests,
// /sim/fault, /sim/model, /sim/loaded, /sim/restart, /sim/reset.
#include "bench/sim/dialect.hpp"
#include "bench/sim/routes.hpp"
#include "bench/sim/wishes.hpp"

namespace sim {

namespace {

std::string dumped(const json& v)
{
    return v.dump(-1, ' ', false, json::error_handler_t::replace);
}

// {"name","size":bytes,"vram":bytes,"cache":bytes,"load_ms","prompt_ms","pull_ms","rate","tokens",
// "ctx","dim","embedding","tools","thinking","file","parameters":{"num_ctx":…}}; what is absent
// stays as it is, or as it is by default.
std::string set_model(world& w, const json& request)
{
    auto& given = member(request, "name");
    auto name = given.is_string() ? canonical_name(given.get<std::string>()) : std::string();
    if (name.empty())
        return "a model needs a name";
    auto known = w.models.find(name);
    auto m = known ? *known : model_spec{};
    m.name = name;
    auto number = [&](const char* key, auto& out) {
        auto& v = member(request, key);
        if (v.is_number() && v.get<double>() >= 0)
            out = v.get<std::decay_t<decltype(out)>>();
    };
    auto millis = [&](const char* key, duration& out) {
        auto& v = member(request, key);
        if (v.is_number() && v.get<double>() >= 0)
            out = std::chrono::duration_cast<duration>(
                std::chrono::duration<double, std::milli>(v.get<double>()));
    };
    auto flag = [&](const char* key, bool& out) {
        auto& v = member(request, key);
        if (v.is_boolean())
            out = v.get<bool>();
    };
    number("size", m.size);
    number("vram", m.vram);
    number("cache", m.cache);
    number("rate", m.rate);
    number("tokens", m.tokens);
    number("ctx", m.context);
    number("dim", m.dimensions);
    millis("load_ms", m.load);
    millis("prompt_ms", m.prompt);
    millis("pull_ms", m.pull);
    flag("embedding", m.embedding);
    flag("tools", m.tools);
    flag("thinking", m.thinking);
    auto& parameters = member(request, "parameters");
    if (parameters.is_object()) {
        m.parameters.clear();
        for (auto& [option, value] : parameters.items())
            if (is_load_time(option) && value.is_number_integer())
                m.parameters[option] = value.get<int>();
    }
    auto& file = member(request, "file");
    if (file.is_string())
        identify(m, file.get<std::string>());
    else if (!known)
        identify(m, {});
    w.models.put(std::move(m));
    return {};
}

// {"model","options","keep_alive"}: as somebody else's request would have loaded it, but at once.
std::string load_behind_back(world& w, const json& request)
{
    auto& given = member(request, "model");
    auto model = given.is_string() ? w.models.find(given.get<std::string>()) : nullptr;
    if (!model)
        return "no such model";
    wishes wished;
    std::optional<duration> keep_alive;
    auto wrong = read_options(request, w.set.context_length, *model, wished);
    if (!wrong)
        wrong = read_keep_alive(member(request, "keep_alive"), keep_alive);
    if (wrong)
        return wrong.message;
    if (!w.sched.put({model, wished.load_options, wished.context, keep_alive}, steady::now()))
        return "it is loaded";
    w.scheduled();
    return {};
}

std::string drop_behind_back(world& w, const json& request)
{
    auto& given = member(request, "model");
    auto model = given.is_string() ? w.models.find(given.get<std::string>()) : nullptr;
    if (!model || !w.sched.drop(model->blob))
        return "it is not loaded, or busy";
    w.scheduled();
    return {};
}

}  // namespace

json stats_now(world& w)
{
    auto out = w.seen.shown();
    auto loaded = json::array();
    for (auto& r : w.sched.loaded())
        loaded.push_back({{"model", r->model->name},
                          {"options", r->options},
                          {"context", r->context},
                          {"size_vram", r->size_vram},
                          {"refs", r->refs},
                          {"slots", r->slots},
                          {"busy", r->busy},
                          {"leaked", r->leaked},
                          {"waiting", r->line.size()},
                          {"unloading", r->unloading}});
    out["loaded"] = std::move(loaded);
    out["pending"] = w.sched.pending();
    auto& current = w.sched.current();
    out["loading"] = current ? json(current->wanted.model->name) : json(nullptr);
    out["faults"] = w.faults.list();
    return out;
}

std::string set_fault(world& w, const json& request)
{
    auto& kind = member(request, "kind");
    if (kind == json("refuse")) {
        auto& ms = member(request, "ms");
        if (!ms.is_number() || ms.get<double>() <= 0)
            return "refuse needs ms";
        w.refuse(std::chrono::milliseconds(static_cast<std::int64_t>(ms.get<double>())));
        return {};
    }
    return w.faults.add(request);
}

awaitable<void> control(connection& c)
{
    std::string body;
    auto here = co_await c.read_all(body);
    if (!here)
        co_return;
    auto parsed = parse_go_json(body);
    auto& path = c.head.path;
    bool posts = c.head.method == "POST";
    answer a;
    std::string mistake;
    if (path == "/sim/stats") {
        a.body = dumped(stats_now(c.at));
    } else if (path == "/sim/requests") {
        a.body = dumped(c.at.seen.requests());
    } else if (path == "/sim/reset" && posts) {
        c.at.seen.reset();
        a.body = "{}";
    } else if (path == "/sim/fault" && posts) {
        mistake = parsed.error.empty() ? set_fault(c.at, parsed.value) : parsed.error;
        a.body = "{}";
    } else if (path == "/sim/fault" && c.head.method == "DELETE") {
        auto& model = member(parsed.value, "model");
        c.at.faults.clear(model.is_string() ? canonical_name(model.get<std::string>()) : "");
        a.body = "{}";
    } else if (path == "/sim/loaded" && (posts || c.head.method == "DELETE")) {
        mistake = !parsed.error.empty() ? parsed.error
                  : posts               ? load_behind_back(c.at, parsed.value)
                                        : drop_behind_back(c.at, parsed.value);
        a.body = "{}";
    } else if (path == "/sim/restart" && posts) {
        auto& ms = member(parsed.value, "ms");
        auto away = ms.is_number() && ms.get<double>() > 0 ? ms.get<double>() : 100.0;
        c.at.restart(std::chrono::milliseconds(static_cast<std::int64_t>(away)), &c);
        c.close_after_this();
        a.body = "{}";
    } else if (path == "/sim/model" && posts) {
        mistake = parsed.error.empty() ? set_model(c.at, parsed.value) : parsed.error;
        a.body = "{}";
    } else {
        a = native_failure(404, "no such control");
    }
    if (!mistake.empty())
        a = native_failure(400, mistake);
    co_await c.reply(std::move(a));
}

}  // namespace sim
