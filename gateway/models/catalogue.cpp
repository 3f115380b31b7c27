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
            tags_.emplace(m.canonical, m);
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

bool catalogue::knows(std::string_view model) const
{
    auto found = tags_.find(model);
    return known_ && found != tags_.end() && learned(found->second);
}

// Is nothing left to be asked of it?
bool catalogue::learned(const listed_model& m) const
{
    return m.digest.empty() || with_.lore.by_digest.count(m.digest) != 0;
}

awaitable<void> catalogue::learn(std::string model)
{
    auto found = tags_.find(model);
    if (found == tags_.end() || learned(found->second))
        co_return;
    auto digest = found->second.digest;
    auto answer = co_await ask(with_.io, with_.pool, "POST", "/api/show",
                               "{\"model\":" + json_quote(found->second.name) + "}",
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
}

const model_facts* catalogue::facts(std::string_view model) const
{
    auto found = tags_.find(model);
    if (found == tags_.end())
        return nullptr;
    auto known = with_.lore.by_digest.find(found->second.digest);
    return known == with_.lore.by_digest.end() ? nullptr : &known->second;
}

std::string catalogue::runner_of(std::string_view model) const
{
    return runner_of(model, facts(model));
}

std::string catalogue::runner_of(std::string_view model, const model_facts* f) const
{
    if (f == nullptr || f->runner.empty())
        return std::string(model);
    auto found = with_.lore.name_of_blob.find(f->runner);
    return found == with_.lore.name_of_blob.end() ? std::string(model) : found->second;
}

std::uint64_t catalogue::file_size(std::string_view model) const
{
    auto found = tags_.find(model);
    return found == tags_.end() ? 0 : found->second.size;
}

}  // namespace gateway
