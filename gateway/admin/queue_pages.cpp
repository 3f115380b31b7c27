#include "admin/queue_pages.hpp"

#include "admin/model_counts.hpp"
#include "base/text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace gateway {

using json = nlohmann::ordered_json;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view calls_path = "/gateway/calls/";

fault no_such(std::string what)
{
    return {fault_code::not_found, std::move(what), whose::client, retry::no, 0};
}

std::string text_of(const json& j)
{
    return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

std::string call_json(const call_view& v)
{
    json j;
    j["id"] = v.id;
    j["phase"] = word(v.now);
    j["position"] = v.position ? json(*v.position) : json(nullptr);
    j["queue_length"] = v.queue_length;
    j["eta_ms"] = v.eta_ms ? json(*v.eta_ms) : json(nullptr);
    j["waited_ms"] = v.waited_ms;
    j["model"] = v.model;
    j["outcome"] = v.how ? json(word(*v.how)) : json(nullptr);
    j["attempts"] = json::parse(to_json(v.attempts), nullptr, false);
    return text_of(j);
}

std::uint64_t queue_pages::longest_body(const request_head& head, const config& c) const
{
    return jobs_ != nullptr ? jobs_->longest_body(head, c) : pages::longest_body(head, c);
}

awaitable<void> queue_pages::answer(const page_request& r, responder& to)
{
    const auto& path = r.head.path;
    if (jobs_ != nullptr && job_pages::are_at(path)) {
        co_await jobs_->answer(r, to);
        co_return;
    }
    bool reads = r.head.method == "GET" || r.head.method == "HEAD";
    bool posts = r.head.method == "POST";
    std::string rest;
    if (path.starts_with(calls_path))
        rest = path.substr(calls_path.size());
    auto slash = rest.find('/');
    auto id = to_lower(rest.substr(0, slash));
    auto verb = slash == std::string::npos ? std::string() : rest.substr(slash + 1);

    bool known = path == "/gateway/queue" ||
                 (!id.empty() && (verb.empty() || verb == "events" || verb == "cancel"));
    if (!known) {
        to.fail(no_such("no such page"));
    } else if (verb == "cancel" ? !posts : !reads) {
        to.takes_only(verb == "cancel" ? "POST" : "GET, HEAD");
    } else if (path == "/gateway/queue") {
        to.json(200, queue());
    } else if (auto seen = call_for(id, r.who); !seen) {
        to.fail(no_such("no call of this id, or it ended more than an hour ago"));
    } else if (verb == "events" && r.head.method == "GET") {
        co_await events(std::move(seen), to);
    } else if (verb == "cancel") {
        if (calls_.cancel(id))
            to.json(200, "{\"id\":" + json_quote(id) + ",\"cancelled\":true}");
        else
            to.fail(no_such("no call of this id is waiting or running"));
    } else {
        to.json(200, call_json(*seen));
    }
}

// A call that came with a key is for who shows that key, or one of scope admin.
std::optional<call_view> queue_pages::call_for(const std::string& id, const identity& who) const
{
    auto v = calls_.book().view(id, steady::now());
    bool visible = v && (v->owner.empty() || v->owner == who.key || who.may.has(scope::admin));
    return visible ? std::move(v) : std::nullopt;
}

std::string queue_pages::queue() const
{
    auto now = steady::now();
    const auto& g = rooms_.generations.view();
    const auto& e = rooms_.embeddings.view();
    std::size_t running = 0;
    json all = json::array();
    for (const auto& m : model_totals(rooms_, now)) {
        running += m.running;
        all.push_back({{"name", m.name},
                       {"loaded", m.loaded},
                       {"running", m.running},
                       {"waiting", m.waiting}});
    }
    // Until the last in the queue starts; nothing to wait for when a permit is free.
    std::optional<std::int64_t> eta;
    if (g.waiting() != 0) {
        if (auto until = g.eta_of_last(now))
            eta = ms(*until);
    } else if (g.in_use() < g.capacity()) {
        eta = 0;
    }
    json j;
    j["waiting"] = g.waiting() + e.waiting();
    j["running"] = running;
    j["eta_ms"] = eta ? json(*eta) : json(nullptr);
    j["models"] = std::move(all);
    return text_of(j);
}

// One event at each change and each second, the last when the call is over.
awaitable<void> queue_pages::events(std::optional<call_view> v, responder& to) const
{
    const auto id = v->id;
    to.begin_events();
    std::string last;
    auto told_at = instant::min();
    bool here = true;
    while (here && v) {
        auto now = steady::now();
        auto key = std::string(word(v->now)) + std::to_string(v->position.value_or(0));
        if (key != last || v->how || told_at == instant::min() || now - told_at >= 1s) {
            to.event("call", call_json(*v));
            last = key;
            told_at = now;
        }
        if (v->how)
            break;
        here = co_await to.pause(100ms);
        v = calls_.book().view(id, steady::now());
    }
    to.end();
}

}  // namespace gateway
