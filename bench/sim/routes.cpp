#include "bench/sim/routes.hpp"

#include <unistd.h>
#include <boost/asio/ip/address.hpp>

#include "bench/sim/dialect.hpp"
#include "bench/sim/strikes.hpp"

namespace sim {

namespace {

awaitable<void> root(connection& c)
{
    answer a;
    a.type = "text/plain; charset=utf-8";
    a.body = "Ollama is running";
    co_await c.reply(std::move(a));
}

awaitable<void> version(connection& c)
{
    answer a;
    a.body = "{\"version\":\"" + c.at.set.version + "\"}";
    co_await c.reply(std::move(a));
}

awaitable<void> status(connection& c)
{
    answer a;
    a.body = R"({"cloud":{"disabled":false,"source":"none"}})";
    co_await c.reply(std::move(a));
}

awaitable<void> unauthorized(connection& c)
{
    answer a;
    a.status = 401;
    a.body =
        R"({"error":"unauthorized","signin_url":"https://ollama.com/connect?name=sim&key=none"})";
    co_await c.reply(std::move(a));
}

awaitable<void> recommendations(connection& c)
{
    answer a;
    a.body = R"({"recommendations":[]})";
    co_await c.reply(std::move(a));
}

using handler = awaitable<void> (*)(connection&);

struct route {
    std::string_view method;
    std::string_view path;  // a trailing `*` stands for one segment, not empty
    handler to;
    bool runs = false;  // a model; its faults are taken where the model is known
};

constexpr route routes[] = {
    {"GET", "/", root},
    {"HEAD", "/", root},
    {"GET", "/api/version", version},
    {"HEAD", "/api/version", version},
    {"GET", "/api/status", status},
    {"GET", "/api/tags", tags},
    {"HEAD", "/api/tags", tags},
    {"GET", "/api/ps", ps},
    {"POST", "/api/show", show},
    {"POST", "/api/generate", generate, true},
    {"POST", "/api/chat", chat, true},
    {"POST", "/api/embed", embed, true},
    {"POST", "/api/embeddings", embeddings, true},
    {"POST", "/api/me", unauthorized},
    {"POST", "/api/signout", unauthorized},
    {"DELETE", "/api/user/keys/*", unauthorized},
    {"GET", "/v1/models", v1_models},
    {"GET", "/v1/models/*", v1_model},
    {"POST", "/api/pull", pull},
    {"POST", "/api/push", push},
    {"POST", "/api/create", create},
    {"POST", "/api/copy", copy},
    {"DELETE", "/api/delete", remove_model},
    {"HEAD", "/api/blobs/*", head_blob},
    {"POST", "/api/blobs/*", post_blob},
    {"POST", "/v1/chat/completions", v1_chat, true},
    {"POST", "/v1/completions", v1_completions, true},
    {"POST", "/v1/embeddings", v1_embeddings, true},
    {"POST", "/v1/responses", v1_responses, true},
    {"POST", "/v1/messages", v1_messages, true},
    {"POST", "/v1/audio/transcriptions", v1_transcriptions, true},
    {"POST", "/api/experimental/web_search", unauthorized},
    {"POST", "/api/experimental/web_fetch", unauthorized},
    {"GET", "/api/experimental/model-recommendations", recommendations},
};

bool matches(std::string_view pattern, std::string_view path)
{
    if (!pattern.ends_with('*'))
        return pattern == path;
    pattern.remove_suffix(1);
    return path.starts_with(pattern) && path.size() > pattern.size() &&
           path.find('/', pattern.size()) == std::string_view::npos;
}

const route* find_route(std::string_view method, std::string_view path)
{
    for (auto& r : routes)
        if (r.method == method && matches(r.path, path))
            return &r;
    return nullptr;
}

std::string allowed(std::string_view path)
{
    std::string out;
    for (auto& r : routes)
        if (matches(r.path, path)) {
            if (!out.empty())
                out += ", ";
            out += r.method;
        }
    return out;
}

// allowedHosts (routes.go:1803): what may be in Host while the listener is a loopback one.
bool host_allowed(std::string_view host)
{
    auto name = lowered(host);
    if (name.starts_with('['))
        name = name.substr(1, name.find(']') - 1);
    else if (auto colon = name.rfind(':'); colon != std::string::npos)
        name.resize(colon);
    if (name.empty() || name == "localhost")
        return true;
    error_code ec;
    auto ip = asio::ip::make_address(name, ec);
    if (!ec) {
        if (ip.is_loopback() || ip.is_unspecified())
            return true;
        if (!ip.is_v4())
            return (ip.to_v6().to_bytes()[0] & 0xFE) == 0xFC;
        auto b = ip.to_v4().to_bytes();
        return b[0] == 10 || (b[0] == 172 && b[1] >= 16 && b[1] < 32) ||
               (b[0] == 192 && b[1] == 168);
    }
    std::array<char, 256> own{};
    if (gethostname(own.data(), own.size() - 1) == 0 && name == lowered(own.data()))
        return true;
    for (std::string_view suffix : {".localhost", ".local", ".internal"})
        if (name.ends_with(suffix))
            return true;
    return false;
}

// gin-contrib/cors with Ollama's defaults.
bool origin_allowed(std::string_view origin, std::string_view host)
{
    auto low = lowered(origin);
    std::string_view rest = low;
    for (std::string_view scheme :
         {"app://", "file://", "tauri://", "vscode-webview://", "vscode-file://"})
        if (rest.starts_with(scheme))
            return true;
    if (rest.starts_with("http://"))
        rest.remove_prefix(7);
    else if (rest.starts_with("https://"))
        rest.remove_prefix(8);
    else
        return false;
    if (rest == lowered(host))
        return true;
    auto name = rest.substr(0, rest.rfind(':'));
    return name == "localhost" || name == "127.0.0.1" || name == "0.0.0.0";
}

answer plain(int status, std::string body)
{
    answer a;
    a.status = status;
    a.type = "text/plain";
    a.body = std::move(body);
    return a;
}

// What the middlewares and the router answer themselves; empty when a handler is to answer.
std::optional<answer> without_handler(connection& c, const route* found)
{
    auto& path = c.head.path;
    auto host = c.head.field("Host");
    auto origin = c.head.field("Origin");
    if (path.find("//") != std::string::npos || path.find("/./") != std::string::npos ||
        path.find("/../") != std::string::npos) {
        answer a = plain(307, {});
        std::string clean;
        for (std::size_t i = 0; i < path.size(); ++i)
            if (path[i] != '/' || clean.empty() || clean.back() != '/')
                clean += path[i];
        a.fields = "Location: " + clean + "\r\n";
        return a;
    }
    std::string cors;
    if (!origin.empty() && origin != "http://" + std::string(host) &&
        origin != "https://" + std::string(host)) {
        if (!origin_allowed(origin, host))
            return plain(403, {});
        if (c.head.method == "OPTIONS") {
            answer a = plain(204, {});
            a.fields =
                "Access-Control-Allow-Headers: Authorization,Content-Type,User-Agent,Accept,"
                "X-Requested-With\r\nAccess-Control-Allow-Methods: GET,POST,PUT,PATCH,DELETE,HEAD,"
                "OPTIONS\r\nAccess-Control-Allow-Origin: " +
                std::string(origin) + "\r\nAccess-Control-Max-Age: 43200\r\n";
            return a;
        }
    }
    if (c.at.loopback && !host_allowed(host))
        return plain(403, {});
    if (found != nullptr)
        return std::nullopt;
    if (path.size() > 1 && path.ends_with('/') &&
        find_route(c.head.method, std::string_view(path).substr(0, path.size() - 1)) != nullptr) {
        answer a = plain(c.head.method == "GET" ? 301 : 307, {});
        a.fields = "Location: " + path.substr(0, path.size() - 1) + "\r\n";
        return a;
    }
    auto methods = allowed(path);
    if (methods.empty())
        return plain(404, "404 page not found");
    answer a = plain(405, "405 method not allowed");
    a.fields = "Allow: " + methods + "\r\n";
    return a;
}

}  // namespace

awaitable<void> handle(connection& c)
{
    if (c.head.path.starts_with("/sim/")) {
        co_await control(c);
        co_return;
    }
    auto* found = find_route(c.head.method, c.head.path);
    auto refused = without_handler(c, found);
    if (refused) {
        co_await c.reply(std::move(*refused));
        co_return;
    }
    if (found->runs) {
        co_await found->to(c);
        co_return;
    }
    auto wrong = c.at.faults.take(fault_stage::before, "*", c.head.path, false);
    if (wrong) {
        co_await strike_before(c, *wrong, nullptr);
        co_return;
    }
    auto manner = c.at.faults.take(fault_stage::manner, "*", c.head.path, false);
    if (manner)
        apply_manner(c, *manner);
    co_await found->to(c);
    finish_manner(c, manner);
}

}  // namespace sim
