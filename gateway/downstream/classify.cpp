// The tables of SPEC §4 (what a path is) and §6 (how a wait is told).
#include "downstream/classify.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace gateway {

namespace {

struct known_path {
    std::string_view path;
    endpoint where;
    kind what;
};

constexpr std::array<known_path, 10> posts = {{
    {"/api/generate", endpoint::generate, kind::generation},
    {"/api/chat", endpoint::chat, kind::generation},
    {"/api/embed", endpoint::embed, kind::embedding},
    {"/api/embeddings", endpoint::embeddings, kind::embedding},
    {"/v1/chat/completions", endpoint::chat_completions, kind::generation},
    {"/v1/completions", endpoint::completions, kind::generation},
    {"/v1/embeddings", endpoint::v1_embeddings, kind::embedding},
    {"/v1/responses", endpoint::responses, kind::generation},
    {"/v1/messages", endpoint::messages, kind::generation},
    {"/v1/audio/transcriptions", endpoint::transcriptions, kind::generation},
}};

constexpr std::array<std::string_view, 7> management_paths = {
    "/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/me", "/api/signout"};

constexpr std::array<std::string_view, 3> management_trees = {"/api/blobs", "/api/user",
                                                              "/api/experimental"};

// `tree` itself, or below it.
bool within(std::string_view path, std::string_view tree)
{
    return path.starts_with(tree) && (path.size() == tree.size() || path[tree.size()] == '/');
}

bool is_management(std::string_view path)
{
    return std::find(management_paths.begin(), management_paths.end(), path) !=
               management_paths.end() ||
           std::any_of(management_trees.begin(), management_trees.end(),
                       [&](std::string_view tree) { return within(path, tree); });
}

dialect dialect_of(std::string_view path)
{
    if (!within(path, "/v1")) {
        return dialect::native;
    }
    return within(path, "/v1/messages") ? dialect::anthropic : dialect::openai;
}

// Is text/event-stream named in this Accept, and not with q=0? Wildcards do not ask for it.
bool accepts_events(std::string_view accept)
{
    constexpr std::string_view events = "text/event-stream";
    if (accept.size() < events.size()) {
        return false;
    }
    for (const std::string_view range : split(accept, ',')) {
        const auto parts = split(range, ';');
        if (!iequals(parts.front(), events)) {
            continue;
        }
        const bool refused = std::any_of(parts.begin() + 1, parts.end(), [](std::string_view p) {
            const auto equals = p.find('=');
            return equals != std::string_view::npos && iequals(trim(p.substr(0, equals)), "q") &&
                   trim(p.substr(equals + 1)).find_first_not_of("0.") == std::string_view::npos;
        });
        if (!refused) {
            return true;
        }
    }
    return false;
}

bool is_native_generation(endpoint e)
{
    return e == endpoint::generate || e == endpoint::chat;
}

bool is_v1_stream(endpoint e)
{
    return e == endpoint::chat_completions || e == endpoint::completions ||
           e == endpoint::responses || e == endpoint::messages;
}

}  // namespace

classified classify(std::string_view method, std::string_view path)
{
    classified c;
    c.words = dialect_of(path);
    if (method == "POST") {
        const auto known = std::find_if(posts.begin(), posts.end(),
                                        [&](const known_path& p) { return p.path == path; });
        if (known != posts.end()) {
            c.where = known->where;
            c.what = known->what;
            return c;
        }
    }
    if (within(path, "/gateway")) {
        c.where = endpoint::gateway;
        c.what = kind::own;
    } else if (is_management(path) && method != "OPTIONS") {
        c.where = endpoint::management;
        c.what = kind::management;
    }
    return c;
}

kind refine(const classified& c, const body_facts& facts)
{
    if (c.what != kind::generation && c.what != kind::embedding) {
        return c.what;
    }
    if (facts.model.empty()) {
        return kind::information;  // Ollama says 400 or 404 at once (ollama.md §2.4)
    }
    if (is_native_generation(c.where) && facts.empty_prompt) {
        return facts.keep == keep_alive::zero ? kind::unload : kind::load;
    }
    return c.what;
}

manner manner_of(const classified& c, const body_facts& facts, const asked& a)
{
    const bool native = is_native_generation(c.where);
    const std::string_view wish = trim(a.queue_events);
    const bool raw = iequals(wish, "raw");
    const bool by_header = raw || wish == "1";
    const bool by_accept = accepts_events(a.accept);
    const bool heartbeat = !iequals(trim(a.heartbeat), "off");
    const auto padded = [&](telling t) { return heartbeat ? t : telling::silent; };

    if (native && by_accept) {
        return {shape::native_sse, telling::sse_raw, true};
    }
    if (native && facts.stream.value_or(true)) {
        if (by_header) {
            return {shape::ndjson, telling::native_chunk, true};
        }
        return {shape::ndjson, padded(telling::padding), false};
    }
    if (!is_v1_stream(c.where) || !facts.stream.value_or(false)) {
        return {shape::one_piece, padded(telling::padding), false};
    }
    // These SDKs know only events of their own API: asked or not, they get what they skip.
    if (c.where == endpoint::responses) {
        return {shape::sse, padded(telling::comment), by_header};
    }
    if (c.where == endpoint::messages) {
        return {shape::sse, padded(telling::ping), by_header};
    }
    if (raw) {
        return {shape::sse, telling::sse_raw, true};
    }
    // Before what the header wishes: in Open WebUI's own settings one can send X-Queue-Events, and
    // it shows nothing of an empty chunk.
    if (a.open_webui) {
        return {shape::sse, telling::open_webui, true};
    }
    if (by_header || by_accept) {
        return {shape::sse, telling::sse_chunk, true};
    }
    return {shape::sse, padded(telling::comment), false};
}

}  // namespace gateway
