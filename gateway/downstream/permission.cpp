#include "downstream/permission.hpp"

#include "downstream/prefer.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace gateway {

namespace {

// RFC 6750 §3: what is asked for, and what was wrong with what came.
std::string challenge(std::string_view error = {}, std::string_view needed = {})
{
    std::string line = "WWW-Authenticate: Bearer realm=\"ollama-gateway\"";
    if (!error.empty()) {
        line.append(", error=\"").append(error).append("\"");
    }
    if (!needed.empty()) {
        line.append(", scope=\"").append(needed).append("\"");
    }
    return line.append("\r\n");
}

fault refused(fault_code code, std::string why)
{
    return {code, std::move(why), whose::client, retry::no, 0};
}

denial no_key(std::string_view why)
{
    if (why.empty()) {
        return {refused(fault_code::unauthorized,
                        "a key is required: Authorization: Bearer KEY, or X-Api-Key: KEY"),
                challenge()};
    }
    return {refused(fault_code::unauthorized, std::string(why)), challenge("invalid_token")};
}

denial no_scope(const identity& who, scope needed)
{
    return {refused(fault_code::forbidden, "the key of " + who.key + " has not the scope " +
                                               std::string(word(needed)) + " (auth.keys_file)"),
            challenge("insufficient_scope", word(needed))};
}

// What was shown becomes whose request it is; why not, when it does not.
std::string_view learn(const request_head& head, identity& who, const session_rules& rules,
                       std::int64_t now)
{
    const auto shown = rules.keys.verify(head, now);
    if (shown.key == nullptr) {
        return shown.why;
    }
    who.client = who.key = shown.key->name;
    who.may = shown.key->may;
    who.background = shown.key->background;
    return {};
}

bool is_reading(std::string_view method)
{
    return method == "GET" || method == "HEAD";
}

// It only looks: the methods that do, and the one path that looks by POST.
bool is_look(const request_head& head, const classified& how)
{
    return how.what == kind::information &&
           (is_reading(head.method) || (head.method == "POST" && head.path == "/api/show"));
}

std::string_view word(kind k, bool looks)
{
    switch (k) {
        case kind::generation:
        case kind::load:
        case kind::unload: return "generation";
        case kind::embedding: return "embedding";
        case kind::management: return "management";
        case kind::information: return looks ? "information" : "";
        case kind::own: return "";
    }
    return "";
}

bool covers(std::string_view exemption, std::string_view path)
{
    if (exemption.ends_with('*')) {
        return path.starts_with(exemption.substr(0, exemption.size() - 1));
    }
    return exemption == path;
}

// From this machine itself, by a name of its own: a page of somebody else's, whose name leads here
// (DNS rebinding), is not.
bool is_here(const request_head& head, const identity& who, const session_rules& rules)
{
    return who.loopback && !who.tunnelled &&
           (who.unix_socket || host_allowed(head.get(field_name::host), rules.hosts));
}

std::optional<denial> admit_manager(const request_head& head, const identity& who,
                                    const session_rules& rules, bool exempt)
{
    const std::string& policy = rules.settings->management;
    const bool by_key = !who.key.empty() && !exempt;
    bool may = false;
    if (by_key || who.may.has(scope::management)) {
        if (!who.may.has(scope::management)) {
            return no_scope(who, scope::management);
        }
        may = policy != "deny";
    } else {
        identity as_seen = who;
        as_seen.loopback = is_here(head, who, rules);
        may = may_manage(policy, as_seen, rules.settings->hosts.empty(), rules.admins);
    }
    if (may) {
        return std::nullopt;
    }
    return denial{refused(fault_code::forbidden,
                          "`management` is \"" + policy +
                              (policy == "deny" ? "\": models are not managed through the gateway"
                                                : "\": models are managed from the gateway's own "
                                                  "machine, from an address in `clients.admins`, "
                                                  "or with a key of scope management")),
                  {}};
}

}  // namespace

std::optional<scope> needed_scope(const request_head& head, const classified& how,
                                  const config& settings)
{
    switch (how.what) {
        case kind::management: return scope::management;
        case kind::own:
            return head.path == "/gateway/jobs" || head.path.starts_with("/gateway/jobs/")
                       ? std::optional(scope::jobs)
                       : std::nullopt;
        case kind::information:
            // What is not known here may be the next release's way to generate.
            return is_look(head, how) || head.method == "OPTIONS" ? std::nullopt
                                                                  : std::optional(scope::inference);
        default: break;
    }
    return settings.jobs.database && asks_for_later(head) ? scope::jobs : scope::inference;
}

bool is_exempt(const request_head& head, const classified& how,
               const std::vector<std::string>& exempt)
{
    const auto kind = word(how.what, is_look(head, how));
    return std::any_of(exempt.begin(), exempt.end(), [&](std::string_view e) {
        return e.starts_with('/') ? covers(e, head.path) : e == kind;
    });
}

std::optional<denial> admit(const request_head& head, const classified& how, identity& who,
                            const session_rules& rules, std::int64_t now)
{
    const config& settings = *rules.settings;
    bool exempt = true;
    if (rules.keys_asked()) {
        exempt = is_exempt(head, how, settings.auth.exempt);
        const auto why = learn(head, who, rules, now);
        if (who.key.empty() && !exempt) {
            return no_key(why);
        }
    }
    if (how.what == kind::management) {
        return admit_manager(head, who, rules, exempt);
    }
    const auto needed = needed_scope(head, how, settings);
    if (!exempt && needed && !who.may.has(*needed)) {
        return no_scope(who, *needed);
    }
    return std::nullopt;
}

std::optional<denial> admit_operator(const request_head& head, identity& who,
                                     const session_rules& rules, std::int64_t now)
{
    const auto why = rules.keys_asked() ? learn(head, who, rules, now) : std::string_view();
    if (is_reading(head.method)) {
        return std::nullopt;
    }
    // The page of a name that leads here by mistake or by malice has that name as its Origin and as
    // its Host: being the same is no recommendation.
    const std::string_view host = head.get(field_name::host);
    if (head.has(field_name::origin) &&
        !origin_allowed(head.get(field_name::origin), host_allowed(host, rules.hosts) ? host : "",
                        rules.settings->origins)) {
        return denial{refused(fault_code::forbidden,
                              "this Origin may change nothing here; add it to `origins` in the "
                              "configuration"),
                      {}};
    }
    if (is_here(head, who, rules) || who.may.has(scope::admin)) {
        return std::nullopt;
    }
    if (!who.key.empty()) {
        return no_scope(who, scope::admin);
    }
    if (rules.keys_asked()) {
        return no_key(why);
    }
    return denial{refused(fault_code::forbidden,
                          "this is for the gateway's own machine (a loopback peer), or for a key "
                          "with scope admin (auth.keys_file)"),
                  {}};
}

bool open_to_all(const config& settings)
{
    if (!settings.auth.keys_file) {
        return true;
    }
    constexpr std::array paths{"/api/generate",        "/api/chat",
                               "/api/embed",           "/api/embeddings",
                               "/v1/chat/completions", "/v1/completions",
                               "/v1/embeddings",       "/v1/responses",
                               "/v1/messages",         "/v1/audio/transcriptions"};
    return std::any_of(paths.begin(), paths.end(), [&](const char* path) {
        request_head head;
        head.method = "POST";
        head.path = path;
        return is_exempt(head, classify(head.method, head.path), settings.auth.exempt);
    });
}

}  // namespace gateway
