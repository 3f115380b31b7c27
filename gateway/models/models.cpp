// What an upstream has and holds: listings asked for, understood, and kept.
#include "models/models.hpp"

#include "models/entry.hpp"
#include "upstream/ollama.hpp"

#include <algorithm>

namespace gateway {

using namespace std::chrono_literals;

models::models(surroundings s) : with_(std::move(s)), look_(with_.io), inside_(with_.io) {}
models::~models() = default;

models::entry& models::of_name(const std::string& model)
{
    auto& e = entries_[model];
    if (!e) {
        e = std::make_unique<entry>();
        e->name = model;
        e->news = std::make_unique<event>(with_.io);
    }
    return *e;
}

awaitable<void> models::watch()
{
    gate::pass here(inside_);
    while (!closing_.requested()) {
        if (!tags_known_ || tags_older_than(60s))
            co_await refresh_tags();
        if (closing_.requested())
            break;
        co_await list(nullptr);
        auto now = steady::now();
        for (auto& [name, m] : entries_) {
            bool stuck = m->plan && m->plan->at() == unload_plan::stage::stuck;
            if (stuck && !m->probing && now >= m->next_probe && !closing_.requested())
                spawn(with_.io, "probe", probe(*m));
        }
        co_await look_.wait_until(steady::now() + with_.settings()->reconcile.interval);
    }
}

// A model answers that no listing has shown: the next one should not wait for its interval.
void models::list_soon(instant now)
{
    if (list_asked_at_ != instant::min() && now - list_asked_at_ < 250ms)
        return;
    list_asked_at_ = now;
    look_.tell();
}

void models::close()
{
    closing_.request(stop_reason::draining, steady::now());
    look_.tell();
    for (auto& [name, m] : entries_)
        m->news->tell();
}

awaitable<void> models::closed(instant deadline)
{
    co_await inside_.empty(deadline);
}

awaitable<unload_plan::listing> models::list(const std::string* wanted)
{
    using listing = unload_plan::listing;
    auto answer = co_await ask(with_.io, with_.pool, "GET", "/api/ps", "",
                               with_.settings()->reconcile.timeout, &closing_);
    std::optional<std::vector<loaded_model>> loaded;
    if (answer && answer->status == 200)
        loaded = parse_ps(answer->body);
    if (!loaded)
        co_return listing::unknown;
    auto now = steady::now();
    listed_at_ = now;
    for (auto& [name, m] : entries_)
        m->loaded.reset();
    for (auto& l : *loaded)
        of_name(l.canonical).loaded = l;
    for (auto& [name, m] : entries_) {
        if (m->plan) {
            m->plan->listed(m->loaded ? listing::shows_it : listing::without_it, now);
            m->news->tell();
        }
    }
    std::erase_if(entries_, [this](const auto& e) {
        return !e.second->loaded && !e.second->plan && e.second->quiet.idle() &&
               e.second->out.empty() && !e.second->probing && e.second->requests_out == 0 &&
               !lists(e.first);
    });
    bool shown = wanted != nullptr && of_name(*wanted).loaded.has_value();
    co_return shown ? listing::shows_it : listing::without_it;
}

awaitable<void> models::refresh_tags()
{
    if (tags_asked_) {
        auto asked = tags_asked_;
        while (tags_asked_ == asked) {
            // One waiter at a time can be told: the others look again shortly.
            co_await asked->wait_until(steady::now() + 20ms);
        }
        co_return;
    }
    tags_asked_ = std::make_shared<event>(with_.io);
    auto answer = co_await ask(with_.io, with_.pool, "GET", "/api/tags", "",
                               with_.settings()->reconcile.timeout, &closing_);
    std::optional<std::vector<listed_model>> all;
    if (answer && answer->status == 200)
        all = parse_tags(answer->body);
    // A list that does not come leaves the last one standing.
    if (all) {
        tags_.clear();
        for (auto& m : *all)
            tags_.emplace(m.canonical, m);
        tags_known_ = true;
    }
    tags_at_ = steady::now();
    std::exchange(tags_asked_, nullptr)->tell();
}

bool models::tags_older_than(duration d) const
{
    return tags_at_ == instant::min() || steady::now() - tags_at_ > d;
}

awaitable<models::listed> models::find(const std::string& model)
{
    if (tags_known_ && lists(model))
        co_return listed::yes;
    // A storm of unknown names asks once a second, no more.
    if (tags_older_than(1s))
        co_await refresh_tags();
    if (!tags_known_)
        co_return listed::unknown;
    co_return lists(model) ? listed::yes : listed::no;
}

models::condition models::of(const std::string& model) const
{
    auto found = entries_.find(model);
    if (found == entries_.end() || !found->second->plan)
        return condition::fine;
    return found->second->plan->at() == unload_plan::stage::stuck ? condition::stuck
                                                                  : condition::unloading;
}

std::vector<models::view> models::views(instant now) const
{
    std::vector<view> all;
    for (const auto& [name, m] : entries_) {
        view v;
        v.name = name;
        v.loaded = m->loaded.has_value();
        auto c = of(name);
        v.state = c == condition::stuck       ? "stuck"
                  : c == condition::unloading ? "unloading"
                  : v.loaded                  ? "ready"
                                              : "absent";
        if (m->loaded) {
            v.size_vram = m->loaded->size_vram;
            v.expires_at = m->loaded->expires_at;
        }
        v.out = m->out.size();
        v.silence_s = m->quiet.idle() ? 0 : seconds(m->quiet.silent_for(now));
        all.push_back(std::move(v));
    }
    return all;
}

std::optional<duration> models::listing_age(instant now) const
{
    if (!listed_at_)
        return std::nullopt;
    return now - *listed_at_;
}

}  // namespace gateway
