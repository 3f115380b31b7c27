// What we were told: plain structs with their defaults (SPEC §3). A snapshot is immutable and
// shared; every call takes one when it begins. A duration of zero is "none". Pure.
#pragma once

#include "proxy-config/access_key.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

using std::chrono::milliseconds;

// So many upstreams at most (a set of them is a word of as many bits).
inline constexpr std::size_t most_upstreams = 64;

struct config {
    struct upstream {
        std::string name;
        std::string url;  // http://host:port[/prefix] or https://…
        unsigned max_concurrent = 3;
        unsigned max_concurrent_embeddings = 2;
        std::optional<std::uint64_t> vram;  // bytes
        bool operator==(const upstream&) const = default;
    };
    struct queue_settings {
        std::size_t max_waiting = 512;
        std::size_t max_waiting_per_client = 0;
        milliseconds max_wait{0};
        milliseconds hold_upstream{60'000};
        milliseconds grace{1'000};
        milliseconds commit_whole{15'000};
        milliseconds status_interval{1'000};
        milliseconds heartbeat{10'000};
        // Language tag in lower case ("en", "pt-br") → text with {position} and {seconds}. What the
        // file says is laid over these two.
        std::map<std::string, std::string> message{
            {"en", "You are number {position} in the queue ({seconds}s)"},
            {"de", "Warte auf freien Slot... Platz {position} ({seconds}s)"}};
        bool operator==(const queue_settings&) const = default;
    };
    struct timeout_settings {
        milliseconds connect{5'000};
        milliseconds load{900'000};
        milliseconds first_byte{300'000};
        milliseconds idle{300'000};
        milliseconds whole{1'800'000};
        milliseconds total{3'600'000};
        bool operator==(const timeout_settings&) const = default;
    };
    struct timeout_overrides {
        std::optional<milliseconds> connect, load, first_byte, idle, whole, total;
        bool operator==(const timeout_overrides&) const = default;
    };
    struct unload_settings {
        bool on_timeout = true;
        milliseconds verify_within{30'000};
        unsigned retries = 3;
        std::optional<std::string> stuck_file;
        bool operator==(const unload_settings&) const = default;
    };
    struct reconcile_settings {
        milliseconds interval{10'000};
        milliseconds timeout{2'000};
        bool operator==(const reconcile_settings&) const = default;
    };
    struct model_settings {
        unsigned max_concurrent = 0;  // 0: no limit of its own
        std::vector<std::string> fallbacks;
        timeout_overrides timeouts;
        std::optional<std::string> keep_alive;  // as JSON text: "\"5m\"" or "-1"
        bool pin_options = false;
        bool reuse_larger_context = true;
        bool operator==(const model_settings&) const = default;
    };
    struct client_settings {
        std::vector<std::string> trusted_proxies{"127.0.0.0/8", "::1/128"};
        std::vector<std::string> admins;
        std::vector<std::string> identity_headers{"X-OpenWebUI-User-Id",
                                                  "Cf-Access-Authenticated-User-Email"};
        bool operator==(const client_settings&) const = default;
    };
    struct auth_settings {
        std::optional<std::string> keys_file;  // none: nobody needs a key
        std::vector<std::string> exempt;       // paths ("/v1/*": all below) and kinds
        // What stood in keys_file when it was read (keys_file.hpp); no setting of its own.
        std::vector<access_key> keys;
        std::string keys_note;  // what an operator should know of that file; empty: nothing
        bool operator==(const auth_settings&) const = default;
    };
    struct job_settings {
        std::optional<std::string> database;
        milliseconds retention{std::chrono::hours(24 * 30)};
        unsigned max_attempts = 2;
        unsigned max_concurrent = 0;
        bool operator==(const job_settings&) const = default;
    };
    struct limit_settings {
        std::size_t header_bytes = 32 * 1024;
        std::size_t header_fields = 100;
        std::uint64_t body = 64ull << 20;
        std::size_t connections = 8192;
        std::size_t client_buffer = 4u << 20;
        std::uint64_t memory = 1ull << 30;
        milliseconds header_timeout{10'000};
        std::uint64_t body_rate = 8 * 1024;  // bytes a second
        milliseconds client_keepalive{130'000};
        bool operator==(const limit_settings&) const = default;
    };
    struct log_settings {
        std::string level = "info";   // trace, debug, info, warn, error
        std::string format = "text";  // text, json
        bool operator==(const log_settings&) const = default;
    };

    std::vector<std::string> listen{"127.0.0.1:11435"};
    std::vector<std::string> hosts;
    std::vector<std::string> origins;
    std::string admin_listen = "127.0.0.1:9435";
    std::vector<upstream> upstreams;  // never empty once parsed
    queue_settings queue;
    timeout_settings timeouts;
    unload_settings unload;
    reconcile_settings reconcile;
    std::map<std::string, model_settings> models;  // by name as written
    client_settings clients;
    auth_settings auth;
    std::string management = "local";  // allow, local, deny
    job_settings jobs;
    limit_settings limits;
    log_settings log;
    milliseconds drain{300'000};

    bool operator==(const config&) const = default;
};

// One mistake: where it stands and what it is. "upstreams[1].url: …"
struct config_mistake {
    std::string place;
    std::string text;
};

struct parsed_config {
    config value;
    std::vector<config_mistake> mistakes;  // empty: good
};

// A setting that came by another way than the file, already split into path and text:
// "queue.max_waiting" → "100". Flags win over the environment, the environment over the file: they
// are applied in the order given, the last one for a path wins. Lists are separated by commas. A
// path is a key of the file outside `upstreams[]`, `models` and `queue.message`, or one of two that
// are not:
//   "upstreams"       URL,URL… or NAME=URL,NAME=URL…: replaces the file's list. One named as in the
//   file
//                     keeps the other settings it has there; so does a single nameless one that
//                     replaces a single one, with its name.
//   "max_concurrent"  a number: `max_concurrent` of every upstream.
struct config_override {
    std::string path;
    std::string text;
    std::string
        origin;  // where a mistake in it is said to be: "--max-concurrent", "OLLAMA_GATEWAY_…"
};

// The defaults, then `json` (blank: none; comments allowed), then `overrides`. All mistakes at
// once; a value with mistakes is not for use. Never throws for what stands in its arguments.
parsed_config parse_config(std::string_view json, const std::vector<config_override>& overrides);

// The overrides that stand in an environment ("NAME=value" …, a null pointer ends it), in its
// order: OLLAMA_GATEWAY_<PATH>, the path in capitals with '_' for '.'. An unknown one is a mistake.
// OLLAMA_GATEWAY_CONFIG (where the file is) is left to whoever reads the file. An empty value
// empties a list.
std::vector<config_override> overrides_from_environment(const char* const* environment,
                                                        std::vector<config_mistake>& mistakes);

// The effective configuration as JSON that parse_config reads back as the same, as `check` shows
// it. Keys of capabilities that this version does not have are left out.
std::string to_json(const config& c);

// What `models` says of a model; null when nothing. Names are compared as Ollama compares them.
const config::model_settings* settings_for(const config& c, std::string_view model);

// The timeouts that hold for a model (its own over the general ones). Names are compared as Ollama
// compares them: `m` is `M:latest` and `registry.ollama.ai/library/m`.
config::timeout_settings timeouts_for(const config& c, std::string_view model);

}  // namespace gateway
