#include "models/catalogue.hpp"

#include "base/text.hpp"
#include "upstream/ollama.hpp"

namespace gateway {

using namespace std::chrono_literals;

awaitable<void> catalogue::refresh(duration older_than)
{
    if (asked_at_ != instant::min() && steady::now() - asked_at_ <= older_than)
        co_return;
    if (asking_) {
        auto asked = asking_;
        while (asking_ == asked)
            co_await asked->wait_until();
        co_return;
    }
    asking_ = std::make_shared<event>(with_.io);
    auto answer = co_await ask(with_.io, with_.pool, "GET", "/api/tags", "",
                               with_.settings()->reconcile.timeout, &with_.closing);
    std::optional<std::vector<listed_model>> all;
    if (answer && answer->status == 200)
        all = parse_tags(answer->body);
    // A list that does not come leaves the last one standing.
    if (all) {
        tags_.clear();
        for (auto& m : *all)
            if (auto [at, is_new] = tags_.try_emplace(m.canonical); is_new)
                at->second.as_listed = std::move(m);
        known_ = true;
    }
    asked_at_ = steady::now();
    std::exchange(asking_, nullptr)->tell();
}

awaitable<catalogue::listed> catalogue::find(std::string model)
{
    if (!known_ || !lists(model)) {
        // A storm of unknown names asks once a second, no more.
        co_await refresh(1s);
        if (!known_)
            co_return listed::unknown;
        if (!lists(model))
            co_return listed::no;
    }
    co_await learn(std::move(model));
    co_return listed::yes;
}

const catalogue::known_model* catalogue::look(std::string_view model) const
{
    auto found = tags_.find(model);
    return found == tags_.end() ? nullptr : &up_to_date(found->second);
}

const catalogue::known_model& catalogue::up_to_date(known_model& m) const
{
    const auto& lore = with_.lore;
    if (m.as_of == lore.changes)
        return m;
    m.as_of = lore.changes;
    auto told = lore.by_digest.find(m.as_listed.digest);
    m.facts = told == lore.by_digest.end() ? nullptr : &told->second;
    m.learned = m.as_listed.digest.empty() || m.facts != nullptr;
    m.runner = &m.as_listed.canonical;
    if (m.facts != nullptr && !m.facts->runner.empty())
        if (auto name = lore.name_of_blob.find(m.facts->runner); name != lore.name_of_blob.end())
            m.runner = &name->second;
    return m;
}

bool catalogue::knows(std::string_view model) const
{
    const auto* m = look(model);
    return known_ && m != nullptr && m->learned;
}

awaitable<void> catalogue::learn(std::string model)
{
    const auto* m = look(model);
    if (m == nullptr || m->learned)
        co_return;
    auto digest = m->as_listed.digest;
    auto answer = co_await ask(with_.io, with_.pool, "POST", "/api/show",
                               "{\"model\":" + json_quote(m->as_listed.name) + "}",
                               with_.settings()->reconcile.timeout, &with_.closing);
    // An answer that is none of Ollama's is an answer too: it is not asked for at each call. One
    // that does not come is.
    if (!answer || answer->status >= 500)
        co_return;
    auto told = answer->status == 200 ? parse_show(answer->body) : std::nullopt;
    auto& facts = with_.lore.by_digest[digest];
    if (told)
        facts = std::move(*told);
    if (!facts.runner.empty())
        with_.lore.name_of_blob.try_emplace(facts.runner, model);
    ++with_.lore.changes;
}

const model_facts* catalogue::facts(std::string_view model) const
{
    const auto* m = look(model);
    return m == nullptr ? nullptr : m->facts;
}

std::string catalogue::runner_of(std::string_view model) const
{
    const auto* m = look(model);
    return m == nullptr ? std::string(model) : *m->runner;
}

std::uint64_t catalogue::file_size(std::string_view model) const
{
    auto found = tags_.find(model);
    return found == tags_.end() ? 0 : found->second.as_listed.size;
}

}  // namespace gateway
