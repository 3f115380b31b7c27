#include "admin/status_feed.hpp"

#include <algorithm>
#include <array>

namespace gateway {

using namespace std::chrono_literals;

namespace {

// Numbers that change while nothing happens. In JSON text a quote inside a string is escaped, so
// what reads `"age_s":` is that key.
constexpr std::array<std::string_view, 6> counting_on{
    "\"uptime_s\":",  "\"last_listing_age_s\":", "\"age_s\":",
    "\"waited_ms\":", "\"silence_s\":",          "\"chunks\":",
};

}  // namespace

std::size_t what_stands(std::string_view status)
{
    std::size_t print = 0;
    auto add = [&](std::string_view part) {
        print = print * 1'000'003 + std::hash<std::string_view>()(part);
    };
    std::size_t from = 0;
    for (auto at = status.find('"'); at != std::string_view::npos; at = status.find('"', at + 1)) {
        auto rest = status.substr(at);
        for (auto key : counting_on) {
            if (!rest.starts_with(key))
                continue;
            add(status.substr(from, at - from));
            from = std::min(status.find_first_of(",}", at), status.size());
            at = from;
            break;
        }
    }
    add(status.substr(from));
    return print;
}

// A snapshot of a long queue costs milliseconds: then they are made less often, so that looking
// takes at most a twentieth of the loop's time.
std::shared_ptr<const status_feed::snapshot> status_feed::look(instant now)
{
    if (last_ && now - last_->at < pace_)
        return last_;
    auto text = status_();
    auto standing = what_stands(text);
    pace_ = std::clamp<duration>((steady::now() - now) * 20, 100ms, 1s);
    last_ = std::make_shared<const snapshot>(snapshot{std::move(text), standing, now});
    return last_;
}

awaitable<void> status_feed::tell(responder& to)
{
    constexpr auto patience = 30s;
    to.begin_events();
    std::size_t told = 0;
    auto told_at = instant::min();
    bool here = true;
    while (here) {
        auto now = steady::now();
        auto s = look(now);
        bool first = told_at == instant::min();
        bool news = first || s->standing != told || now - told_at >= 1s;
        // Who has not taken the last one is not sent another: the next tells everything anyway.
        if (news && to.taken()) {
            to.event("status", s->text);
            told = s->standing;
            told_at = now;
        } else if (!first && now - told_at > patience) {
            break;
        }
        here = co_await to.pause(pace_);
    }
    to.end();
}

}  // namespace gateway
