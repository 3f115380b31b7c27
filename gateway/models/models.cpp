// Listings asked for, understood, and laid against the ledger.
#include "models/models.hpp"

#include "base/log.hpp"
#include "base/wall_time.hpp"
#include "models/entry.hpp"
#include "upstream/ollama.hpp"

#include <algorithm>

namespace gateway {

using namespace std::chrono_literals;

namespace {

constexpr duration a_moment = 250ms;

std::optional<duration> from_now(const std::string& time)
{
    auto at = parse_rfc3339(time);
    if (!at)
        return std::nullopt;
    auto now = std::chrono::duration<double>(wall_clock::now().time_since_epoch()).count();
    // Ollama says the year 2318 for "never".
    auto seconds = std::clamp(*at - now, -1e6, 1e8);
    return std::chrono::duration_cast<duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

models::models(surroundings s) : with_(std::move(s)), look_(with_.io), inside_(with_.io) {}
models::~models() = default;

models::entry& models::of_name(const std::string& runner)
{
    if (newest_ != nullptr && newest_->name == runner)
        return *newest_;
    auto& e = entries_[runner];
    if (!e) {
        e = std::make_unique<entry>();
        e->name = e->as = runner;
        e->news = std::make_unique<event>(with_.io);
    }
    newest_ = e.get();
    return *e;
}

awaitable<void> models::watch()
{
    gate::pass here(inside_);
    while (!closing_.requested()) {
        co_await with_.names.refresh(60s);
        if (closing_.requested())
            break;
        list_asked_at_ = steady::now();
        list_by_ = instant::max();
        co_await list(nullptr);
        auto now = steady::now();
        for (auto& [name, m] : entries_) {
            bool stuck = m->plan && m->plan->at() == unload_plan::stage::stuck;
            if (stuck && !m->probing && now >= m->next_probe && !closing_.requested())
                spawn(with_.io, "probe", probe(*m));
            if (now >= m->beside.next_trial()) {
                auto before = m->beside.limit();
                m->beside.try_again(now);
                learn(*m, before);
            }
        }
        auto due = steady::now() + pause();
        for (bool told = true; told && !closing_.requested();) {
            told = co_await look_.wait_until(std::min(due, list_by_));
            if (list_by_ == instant::max() || steady::now() >= list_by_)
                break;  // told of something else, or of something that the next listing shows
        }
    }
}

// Until the next listing: sooner while something is about to go.
duration models::pause() const
{
    duration pause = with_.settings()->reconcile.interval;
    for (const auto& [name, e] : ledger_.all())
        if (e.at == model_state::unloading)
            pause = std::min(pause, a_moment);
    return pause;
}

bool models::has_budget() const
{
    return with_.settings()->upstreams[with_.place].vram.has_value();
}

// Something has changed that only a listing can tell: the next one does not wait for its interval.
// What changes within a moment is told by one.
void models::list_soon(instant now)
{
    auto at = list_asked_at_ == instant::min() ? now : std::max(now, list_asked_at_ + a_moment);
    if (at >= list_by_)
        return;  // a busy upstream's every call asks for one
    list_by_ = at;
    look_.tell();
}

void models::upstream_is(bool up)
{
    if (!up) {
        ledger_.upstream_away();
    } else {
        for (auto& [name, m] : entries_) {
            auto before = m->beside.limit();
            m->beside.forget(steady::now());
            learn(*m, before);
        }
    }
    look_.tell();
    with_.news.changed();
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
    auto asked = steady::now();
    auto answer = co_await ask(with_.io, with_.pool, "GET", "/api/ps", "",
                               with_.settings()->reconcile.timeout, &closing_);
    std::optional<std::vector<loaded_model>> shown;
    if (answer && answer->status == 200)
        shown = parse_ps(answer->body);
    if (!shown)
        co_return listing::unknown;
    for (auto& l : *shown)
        co_await with_.names.learn(l.canonical);
    apply(std::move(*shown), asked);
    bool there = wanted != nullptr &&
                 std::any_of(shown_.begin(), shown_.end(), [&](auto& n) { return n == *wanted; });
    co_return there ? listing::shows_it : listing::without_it;
}

void models::apply(std::vector<loaded_model> shown, instant asked)
{
    using listing = unload_plan::listing;
    auto now = steady::now();
    listed_at_ = now;
    shown_.clear();
    for (auto& l : shown) {
        l.canonical = with_.names.runner_of(l.canonical);
        l.expires_in = from_now(l.expires_at);
        shown_.push_back(l.canonical);
    }
    std::map<std::string, model_state> before;
    for (const auto& [name, e] : ledger_.all())
        before.emplace(name, e.at);
    auto d = ledger_.listed(shown, asked, now);
    for (const auto& [name, e] : ledger_.all()) {
        auto was = before.find(name);
        auto at = was == before.end() ? model_state::absent : was->second;
        if (at != e.at)
            log::info("the upstream's listing shows another state of a model",
                      {{"upstream", with_.upstream},
                       {"model", name},
                       {"state", word(e.at)},
                       {"before", word(at)}});
    }
    for (auto [kind, n] : {std::pair{"appeared", d.appeared}, std::pair{"vanished", d.vanished},
                           std::pair{"reloaded", d.reloaded}}) {
        if (n == 0)
            continue;
        with_.counted.drifted(kind, n);
        log::info("models have changed without the gateway's doing",
                  {{"upstream", with_.upstream}, {"kind", kind}, {"models", n}});
    }
    drift_.appeared += d.appeared;
    drift_.vanished += d.vanished;
    drift_.reloaded += d.reloaded;
    pushed_out_.insert(pushed_out_.end(), d.gone.begin(), d.gone.end());
    for (auto& [name, m] : entries_) {
        if (!m->plan)
            continue;
        bool there = std::find(shown_.begin(), shown_.end(), name) != shown_.end();
        m->plan->listed(there ? listing::shows_it : listing::without_it, now);
        m->news->tell();
    }
    newest_ = nullptr;
    std::erase_if(entries_, [this](const auto& e) {
        const auto& m = *e.second;
        return ledger_.state(e.first) == model_state::absent && !m.plan && m.quiet.idle() &&
               m.out.empty() && !m.probing && m.requests_out == 0 && m.beside.limit() == 0 &&
               !with_.names.lists(e.first);
    });
    ledger_.forget_absent([this](const std::string& name) { return with_.names.lists(name); });
    with_.news.changed();
}

std::vector<models::view> models::views(instant now) const
{
    std::vector<view> all;
    for (const auto& [name, e] : ledger_.all()) {
        view v;
        v.name = name;
        v.state = e.at;
        v.loaded = e.at == model_state::ready ||
                   ((e.at == model_state::unloading || e.at == model_state::stuck) &&
                    std::find(shown_.begin(), shown_.end(), name) != shown_.end());
        v.size_vram = e.size_vram;
        v.expires_at = e.expires_at;
        v.out = e.out;
        if (auto found = entries_.find(name); found != entries_.end()) {
            const auto& m = *found->second;
            v.learned = m.beside.limit();
            v.silence_s = m.quiet.idle() ? 0 : seconds(m.quiet.silent_for(now));
        }
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

unsigned models::learned_limit(const std::string& runner) const
{
    auto found = entries_.find(runner);
    return found == entries_.end() ? 0 : found->second->beside.limit();
}

void models::learn(entry& m, unsigned before)
{
    auto now_at = m.beside.limit();
    if (now_at == before)
        return;
    if (now_at != 0 && (before == 0 || now_at < before))
        log::warn(
            "the upstream runs fewer calls of this model at once than it is allowed to: the "
            "others wait here instead; OLLAMA_NUM_PARALLEL would raise it",
            {{"upstream", with_.upstream}, {"model", m.name}, {"at_once", now_at}});
    else
        log::info("more calls of this model are let in at once",
                  {{"upstream", with_.upstream}, {"model", m.name}, {"at_once", now_at}});
    with_.news.learned(with_.place, m.name);
}

}  // namespace gateway
