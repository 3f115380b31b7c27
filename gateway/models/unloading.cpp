// What is done about a model that hangs: unload_plan.hpp decides, here it is carried out.
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/wall_time.hpp"
#include "models/entry.hpp"
#include "upstream/ollama.hpp"

#include <algorithm>

namespace gateway {

using namespace std::chrono_literals;

bad_news stuck_news(const std::string& model, place_id place)
{
    bad_news n;
    n.place = place;
    n.how = outcome::stuck;
    n.why = {fault_code::model_stuck,
             model +
                 " hangs at the upstream and could not be unloaded; it is tried again when it is"
                 " gone",
             whose::upstream, retry::elsewhere, 30};
    return n;
}

void models::unload(const std::string& runner, const char* reason)
{
    auto& m = of_name(runner);
    if (m.plan || closing_.requested())
        return;
    const auto& s = with_.settings()->unload;
    m.plan.emplace(unload_plan::settings{s.verify_within, s.retries}, steady::now());
    log::warn("unloading a model",
              {{"upstream", with_.upstream}, {"model", m.name}, {"reason", reason}});
    ledger_.unload_begins(m.name, steady::now());
    // Its other silent calls end as timed out; whichever ends now takes itself off the list.
    decltype(m.out) others;
    others.swap(m.out);
    while (!others.empty()) {
        auto& p = others.front();
        others.pop_front();
        m.out.push_back(p);
        p.on_silent_();
    }
    spawn(with_.io, "unload", carry_out(m, reason));
    with_.news.changed();
}

void models::unload_again(const std::string& runner)
{
    auto& m = of_name(runner);
    if (!m.plan || closing_.requested())
        return;
    m.plan->again(steady::now());
    m.news->tell();
}

void models::unload_asked(const std::string& runner)
{
    auto now = steady::now();
    ledger_.unload_asked(runner, with_.settings()->unload.verify_within, now);
    list_soon(now);
    with_.news.changed();
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
            ledger_.gone(m.name, now);
            if (told_stuck)
                with_.news.stuck_changed();
            with_.news.changed();
            break;
        } else {
            if (!told_stuck) {
                note(m, reason, "stuck", m.plan->took(now));
                told_stuck = true;
                m.next_probe = now + 10s;
                ledger_.is_stuck(m.name, now);
                // Those who wait are told at once, not kept.
                with_.news.in_vain(m.name, nullptr, stuck_news(m.name, with_.place));
                with_.news.stuck_changed();
                with_.news.changed();
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
                     "{\"model\":" + json_quote(m.as) + ",\"keep_alive\":0}", within, &closing_);
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
                               "{\"model\":" + json_quote(m.as) +
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
    constexpr std::size_t most = 100;
    if (unloads_.size() == most)
        unloads_.erase(unloads_.begin());
    unloads_.push_back({m.name, reason, result, ms(took), rfc3339(wall_clock::now())});
    with_.counted.unloaded(reason, result, took);
    bool bad = std::string_view(result) == "stuck";
    log::write(bad ? log::level::error : log::level::info, "unload ended",
               {{"upstream", with_.upstream},
                {"model", m.name},
                {"reason", reason},
                {"result", result},
                {"ms", ms(took)}});
}

}  // namespace gateway
