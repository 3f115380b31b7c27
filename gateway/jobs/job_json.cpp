#include "jobs/job_json.hpp"

#include "base/text.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <ctime>

namespace gateway {

namespace {

void append_text(std::string& out, const char* key, const std::optional<std::string>& value)
{
    out.append(",\"").append(key).append("\":");
    if (value)
        append_json_quoted(out, *value);
    else
        out += "null";
}

void append_time(std::string& out, const char* key, const std::optional<std::int64_t>& value)
{
    append_text(out, key, value ? std::optional(rfc3339_of_ms(*value)) : std::nullopt);
}

// Without the closing brace.
std::string begun(const job& j)
{
    std::string out = "{\"id\":";
    append_json_quoted(out, j.id);
    append_text(out, "status", std::string(word(told_state(j))));
    append_text(out, "path", j.target);
    append_text(out, "batch", j.batch);
    append_text(out, "priority", std::string(j.interactive ? "interactive" : "background"));
    out += ",\"attempt\":" + std::to_string(j.life.attempt);
    out += ",\"attempts\":" + (j.attempts.empty() ? "[]" : j.attempts);
    append_time(out, "created_at", j.created_at);
    append_time(out, "started_at", j.started_at);
    append_time(out, "finished_at", j.finished_at);
    append_time(out, "heartbeat_at", j.heartbeat_at);
    append_text(out, "error", j.error);
    return out;
}

}  // namespace

std::string rfc3339_of_ms(std::int64_t unix_ms)
{
    std::time_t seconds = unix_ms / 1000;
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[48];
    auto n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    n += std::size_t(
        std::snprintf(text + n, sizeof text - n, ".%03dZ", static_cast<int>(unix_ms % 1000)));
    return {text, n};
}

std::string answer_json(std::string_view content_type, std::string_view answer)
{
    auto text = trim(answer);
    bool json = istarts_with(content_type, "application/json") && is_valid_utf8(text) &&
                nlohmann::json::accept(text);
    return json ? std::string(text) : json_quote(answer);
}

std::string job_json(const job& j)
{
    return begun(j) + "}";
}

std::string job_json(const job& j, std::string_view answer)
{
    bool there = j.life.state == job_state::succeeded;
    return begun(j) + ",\"result\":" + (there ? answer_json(j.content_type, answer) : "null") + "}";
}

std::string job_list_json(const job_page& p)
{
    std::string out = "{\"jobs\":[";
    for (const auto& j : p.jobs) {
        if (out.back() == '}')
            out += ',';
        out += job_json(j);
    }
    out += "],\"next_cursor\":";
    out += p.cursor != 0 ? "\"" + std::to_string(p.cursor) + "\"" : "null";
    return out + "}";
}

}  // namespace gateway
