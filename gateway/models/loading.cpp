// Loads of the gateway's own (SPEC §7): no client's leaving kills one, and no handler is left
// behind in Ollama (ollama.md §3.3, §3.5).
#include "base/log.hpp"
#include "base/text.hpp"
#include "call/load_options.hpp"
#include "models/entry.hpp"
#include "proxy-config/config.hpp"
#include "upstream/ollama.hpp"

#include <algorithm>

namespace gateway {

using namespace std::chrono_literals;

namespace {

// After "server busy" nothing is asked of it for so long.
constexpr auto busy_pause = 500ms;

// From a permit to its call's arrival at the upstream, with room.
constexpr auto a_breath = 50ms;

std::string load_request(const models::wish& w)
{
    auto options = load_options::read(w.options.substr(0, w.options.find('\x1f')));
    std::string body = "{\"model\":" + json_quote(w.as);
    // An embedding model is loaded by an embedding of nothing: /api/generate would refuse it.
    if (w.embedding)
        body += ",\"input\":[]";
    if (auto members = options.as_json_members(); !members.empty())
        body += "," + members;
    if (!w.keep_alive.empty())
        body += ",\"keep_alive\":" + w.keep_alive;
    return body + "}";
}

}  // namespace

void models::load(wish w)
{
    if (loading_since_ || settling_ || closing_.requested())
        return;
    auto now = steady::now();
    loading_since_ = now;
    ledger_.load_begins(w.runner, w.options, now);
    auto& m = of_name(w.runner);
    m.as = w.as;
    log::info("loading a model", {{"upstream", with_.upstream},
                                  {"model", w.runner},
                                  {"options", w.options.substr(0, w.options.find('\x1f'))}});
    spawn(with_.io, "load", carry_load(std::move(w)));
}

duration models::loading_time(instant now) const
{
    return loading_before_ + (loading_since_ ? now - *loading_since_ : duration{});
}

duration models::load_within(const std::string& runner, instant since) const
{
    const auto* e = ledger_.find(runner);
    if (e == nullptr || !e->last_load || since == instant::max() || e->loaded_at <= since)
        return {};
    return std::min(*e->last_load, e->loaded_at - since);
}

bool models::unused_since_load(const std::string& runner) const
{
    auto found = entries_.find(runner);
    return found != entries_.end() && !found->second->served;
}

awaitable<void> models::carry_load(wish w)
{
    gate::pass here(inside_);
    pushed_out_.clear();
    auto settings = with_.settings();
    // Without a budget Ollama may evict any other model for it. Nobody is let in to those any more,
    // but who just was must come there before the load does: a call that meets its model's eviction
    // brings the model back at the cost of this one, or, with a keep_alive of its own, takes the
    // eviction back and all loads hang for ever (#17408).
    bool company = std::any_of(ledger_.all().begin(), ledger_.all().end(), [&](const auto& e) {
        return e.first != w.runner && e.second.at == model_state::ready;
    });
    if (company && !has_budget()) {
        event passed(with_.io);
        co_await passed.wait_until(steady::now() + a_breath);
    }
    duration limit = timeouts_for(*settings, w.as).load;
    stop work;
    stop::hook on_closing(closing_, [&] { work.request(stop_reason::draining, steady::now()); });
    // While other models' calls run, Ollama may be waiting for them to end, so as to make room:
    // that is not the load's fault.
    duration spent{};
    auto looked = steady::now();
    std::function<void()> look;
    alarm clock(with_.io, [&look] { look(); });
    look = [&] {
        auto now = steady::now();
        bool others = std::any_of(ledger_.all().begin(), ledger_.all().end(), [&](const auto& e) {
            return e.first != w.runner && e.second.out != 0;
        });
        if (!others)
            spent += now - looked;
        looked = now;
        if (spent >= limit)
            work.request(stop_reason::too_long, now);
        else
            clock.set(now + std::clamp<duration>(limit - spent, 1ms, 250ms));
    };
    if (limit != duration{})
        look();
    auto body = load_request(w);
    std::string path = w.embedding ? "/api/embed" : "/api/generate";
    auto answer = co_await ask(with_.io, with_.pool, "POST", path, body, duration::max(), &work);
    clock.clear();
    auto now = steady::now();
    auto took = now - *loading_since_;
    loading_before_ += took;
    loading_since_.reset();
    bool ok = answer && answer->status == 200;
    ledger_.load_ended(w.runner, ok, took, now);
    if (ok && !w.keep_alive.empty())
        ledger_.keeps_its_own_time(w.runner, w.keeps, now);
    if (closing_.requested())
        co_return;
    with_.counted.load_ended(ok, took);
    log::write(ok ? log::level::info : log::level::warn, "load ended",
               {{"upstream", with_.upstream},
                {"model", w.runner},
                {"result", ok                                    ? "ready"
                           : answer                              ? std::to_string(answer->status)
                           : work.why() == stop_reason::too_long ? "timed out"
                                                                 : answer.error().message},
                {"ms", ms(took)}});
    if (!ok) {
        bad_news news;
        news.place = with_.place;
        news.took = took;
        if (!answer && work.why() == stop_reason::too_long) {
            news.how = outcome::timed_out;
            news.why = {fault_code::timed_out,
                        w.as + " was not loaded within " + in_seconds(limit) + " s (timeouts.load)",
                        whose::upstream, retry::elsewhere, 0};
            with_.counted.timed_out("load");
        } else if (!answer) {
            news.how = outcome::connect_failed;
            news.why = answer.error();
        } else {
            news.how = outcome::upstream_status;
            news.status = answer->status;
            news.body = answer->body;
            news.why = {fault_code::upstream_failed,
                        "the upstream answered " + std::to_string(answer->status) + " to the load",
                        whose::upstream, retry::elsewhere, 0};
        }
        load_failed(w, std::move(news));
        with_.news.changed();
        co_return;
    }
    of_name(w.runner).served = false;
    if (!has_budget())
        settling_ = w.runner;
    with_.news.loaded(with_.place, w.runner, false);
    with_.news.changed();
    // What it has pushed out matters enough to ask again when there is no answer; /api/ps may be
    // slow just now.
    for (int asked = 0; asked < 3 && !closing_.requested(); ++asked) {
        auto told = co_await list(nullptr);
        if (told != unload_plan::listing::unknown || !company)
            break;
    }
    settling_.reset();
    with_.news.changed();
    // What has gone meanwhile before its time was pushed out: the two do not fit together.
    bool pushed = false;
    for (const auto& other : std::exchange(pushed_out_, {})) {
        if (has_budget() || other == w.runner || ledger_.state(w.runner) != model_state::ready)
            continue;
        pushed = true;
        // With others still there it may have been one too many (OLLAMA_MAX_LOADED_MODELS), or too
        // little room for all of them: nothing is known of these two.
        bool alone = std::none_of(ledger_.all().begin(), ledger_.all().end(), [&](const auto& e) {
            return e.first != w.runner && e.second.at == model_state::ready;
        });
        if (!alone)
            continue;
        ledger_.keep_apart(w.runner, other);
        log::info("two models push each other out: they are not run together again",
                  {{"upstream", with_.upstream}, {"model", w.runner}, {"other", other}});
    }
    if (pushed)
        with_.news.loaded(with_.place, w.runner, true);
}

void models::load_failed(const wish& w, bad_news news)
{
    if (news.how == outcome::connect_failed) {
        // They wait on: for the upstream to come back, or for another one.
        with_.news.refused(with_.place, news.why.message);
    } else if (news.how == outcome::upstream_status && says_busy(news.status, news.body)) {
        busy_until_ = steady::now() + busy_pause;
    } else if (news.how == outcome::upstream_status && news.status < 500) {
        with_.news.load_refused(with_.place, w);
    } else {
        with_.news.in_vain(w.runner, &w.options, news);
    }
}

}  // namespace gateway
