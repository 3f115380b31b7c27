#include "models/models.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "upstream/ollama.hpp"

#include <algorithm>
#include <ctime>

namespace gateway {

using namespace std::chrono_literals;

struct models::entry {
    std::string name;  // canonical
    std::optional<loaded_model> loaded;
    silence quiet;
    std::set<presence*> out;
    std::optional<unload_plan> plan;  // while it is unloading or stuck
    unsigned requests_out = 0;        // unload requests not yet answered
    bool probing = false;
    instant next_probe{};
    std::unique_ptr<event> news;  // for who carries out the plan
};

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

// --- what it has and holds ---

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

// --- calls that are out ---

models::presence::presence(models& of, const std::string& model, duration limit,
                           std::function<void()> on_silent)
    : of_(of), model_(of.of_name(model)), id_(++of.last_id_), on_silent_(std::move(on_silent))
{
    model_.quiet.started(id_, limit, steady::now());
    model_.out.insert(this);
}

models::presence::~presence()
{
    if (!out_)
        return;
    model_.quiet.left(id_, steady::now());
    out_no_more();
}

void models::presence::out_no_more()
{
    out_ = false;
    model_.out.erase(this);
}

void models::presence::limit(duration d)
{
    model_.quiet.limit(id_, d);
}

void models::presence::progressed(instant now)
{
    model_.quiet.progressed(id_, now);
    if (!model_.loaded)
        of_.list_soon(now);
}

void models::presence::finished(instant now)
{
    if (!out_)
        return;
    model_.quiet.finished(id_, now);
    out_no_more();
}

bool models::presence::timed_out(instant now) const
{
    return out_ && model_.quiet.timed_out(id_, now);
}

instant models::presence::look_again(instant now) const
{
    return out_ ? model_.quiet.look_again(id_, now) : instant::max();
}

duration models::presence::silent_for(instant now) const
{
    return model_.quiet.silent_for(now);
}

void models::presence::expired(instant since, instant now)
{
    if (!out_)
        return;
    bool slow = model_.quiet.others_progressed(id_, since);
    model_.quiet.expired(id_, now);
    out_no_more();
    if (slow) {
        log::info("a call timed out while others of its model make progress: left alone",
                  {{"upstream", of_.with_.upstream}, {"model", model_.name}});
        return;
    }
    if (of_.with_.settings()->unload.on_timeout)
        of_.unload(model_, "timeout");
}

// --- a model that hangs ---

void models::unload(entry& m, const char* reason)
{
    if (m.plan || closing_.requested())
        return;
    const auto& s = with_.settings()->unload;
    m.plan.emplace(unload_plan::settings{s.verify_within, s.retries}, steady::now());
    log::warn("unloading a model",
              {{"upstream", with_.upstream}, {"model", m.name}, {"reason", reason}});
    with_.block(m.name, true);
    // Its other silent calls end as timed out. Each takes itself off the list as it ends, so a
    // copy.
    auto others = std::vector<presence*>(m.out.begin(), m.out.end());
    for (auto* p : others)
        if (m.out.count(p) != 0)
            p->on_silent_();
    spawn(with_.io, "unload", carry_out(m, reason));
}

awaitable<void> models::carry_out(entry& m, std::string reason)
{
    using action = unload_plan::action;
    gate::pass here(inside_);
    for (bool told_stuck = false; !closing_.requested();) {
        auto now = steady::now();
        auto step = m.plan->next(now);
        if (step.what == action::send_unload) {
            spawn(with_.io, "unload request", send_unload(m));
        } else if (step.what == action::list) {
            auto shown = co_await list(&m.name);
            if (shown == unload_plan::listing::unknown)
                m.plan->listed(shown, steady::now());
        } else if (step.what == action::wait) {
            co_await m.news->wait_until(step.at);
        } else if (step.what == action::declare_gone) {
            note(m, reason, told_stuck ? "healed" : "gone", m.plan->took(now));
            m.plan.reset();
            with_.block(m.name, false);
            break;
        } else {
            if (!told_stuck) {
                note(m, reason, "stuck", m.plan->took(now));
                told_stuck = true;
                m.next_probe = now + 10s;
                with_.block(m.name, false);  // those who wait are told at once, not kept
            }
            co_await m.news->wait_until();
        }
    }
}

awaitable<void> models::send_unload(entry& m)
{
    using reply = unload_plan::reply;
    gate::pass here(inside_);
    ++m.requests_out;
    auto within =
        std::min<duration>(unload_plan::request_within, with_.settings()->unload.verify_within);
    auto answer =
        co_await ask(with_.io, with_.pool, "POST", "/api/generate",
                     "{\"model\":" + json_quote(m.name) + ",\"keep_alive\":0}", within, &closing_);
    --m.requests_out;
    if (!m.plan)
        co_return;
    auto said = !answer                                          ? reply::no_answer
                : answer->status == 200 || answer->status == 404 ? reply::ok
                                                                 : reply::failed;
    m.plan->replied(said);
    log::info("unload request",
              {{"upstream", with_.upstream},
               {"model", m.name},
               {"answer", answer ? std::to_string(answer->status) : answer.error().message}});
    m.news->tell();
}

// A stuck model that answers a one-token probe is not stuck (SPEC §7). One at a time, twice a
// minute.
awaitable<void> models::probe(entry& m)
{
    gate::pass here(inside_);
    m.probing = true;
    auto answer = co_await ask(with_.io, with_.pool, "POST", "/api/generate",
                               "{\"model\":" + json_quote(m.name) +
                                   ",\"prompt\":\"1\",\"stream\":false,\"keep_alive\":0,"
                                   "\"options\":{\"num_predict\":1}}",
                               10s, &closing_);
    m.probing = false;
    m.next_probe = steady::now() + 30s;
    if (answer && answer->status == 200 && m.plan && m.plan->at() == unload_plan::stage::stuck) {
        m.plan->probe_answered(steady::now());
        m.news->tell();
    }
}

void models::note(const entry& m, const std::string& reason, const char* result, duration took)
{
    auto now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char at[32];
    std::strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &parts);
    constexpr std::size_t most = 100;
    if (unloads_.size() == most)
        unloads_.erase(unloads_.begin());
    unloads_.push_back({m.name, reason, result, ms(took), at});
    with_.counted.unloaded(reason, result, took);
    bool bad = std::string_view(result) == "stuck";
    log::write(bad ? log::level::error : log::level::info, "unload ended",
               {{"upstream", with_.upstream},
                {"model", m.name},
                {"reason", reason},
                {"result", result},
                {"ms", ms(took)}});
}

// --- views ---

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
