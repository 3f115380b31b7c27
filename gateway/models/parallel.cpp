// What counts as evidence.
//
// Ollama's unseen queue is first come, first served. So whoever was sent before a call and is still
// out when it starts runs beside it, and whoever was sent clearly later does not unless it is seen
// to. Of each call that ends, with its start as near as it is known (its first byte, or its end
// less the time that Ollama says it ran), two things are asked:
//
//   *Whom did it begin beside?* c others: there are more than c slots. This wipes out all that
//   spoke for c or fewer, and makes it harder to believe them again. Calls that are seen to run at
//   once (bytes of both, for a while) are proof, and lift a limit at once.
//
//   *Did it begin as another ended?* With k out before that end that were before it in the queue:
//   it speaks for k slots. Only if it had stood behind these same k for a good while, and began
//   soon after. Chance would put a start into the while itself as much more often as the while is
//   longer than the wait after it, and there it speaks against. So it weighs log(1 + while / wait),
//   and what chance would do once in five thousand times is believed; what was ever spoken against,
//   when chance never would. Ends that fall together tell one thing, not two.
//
//   A long prompt, all that is seen of one being its end, must not look like a wait: where only the
//   first byte tells, it must have come later than prompts are known to take, even if this one
//   began as the call before stopped standing in its way, and shared the machine with all others.
#include "models/parallel.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace gateway {

namespace {

using std::chrono::milliseconds;

// What two things seen may be out of order by: the network, the loop that was busy, what Ollama
// does around a run without counting it. Two calls run at once if they do for so long; of two calls
// sent within it nobody knows which came first.
constexpr duration slack = milliseconds(100);

// A call that stood behind the same others for less says nothing.
constexpr duration shortest_wait = milliseconds(250);

// Soon after an end is at most so much of the time that it stood behind it; what is sooner than the
// other weighs no more: no one call is to weigh too much.
constexpr double latest = 1.0 / 3;
constexpr double soonest = 1.0 / 8;

// A first byte tells of a start, but is none.
constexpr double by_first_byte = 0.8;

// How much must speak for a limit: e^-8.5 by chance, four calls at least. Each that ever spoke
// against it asks for some more, up to the most, and a proof for the most.
constexpr double enough = 8.5;
constexpr double more_for_each = 5;
constexpr unsigned most_against = 5;
// To end a trial of one more, and how many that speak for more end it the other way.
constexpr double enough_in_trial = 5;
constexpr unsigned against_in_trial = 3;

constexpr std::size_t remembered = 128;
constexpr std::size_t prompts_remembered = 8;

double asked(unsigned against)
{
    return enough + more_for_each * std::min(against, most_against);
}

}  // namespace

template <class Visit>
void parallel::each(Visit visit) const
{
    for (const auto& [id, c] : out_) {
        visit(c);
    }
    for (const auto& c : gone_) {
        visit(c);
    }
}

void parallel::sent(call_id c, instant now)
{
    look(now);
    const auto sure = trying_ || limit_ == 0 ? 1 : limit_;
    one next{.sent = now, .began = {}};
    next.with_room = out_.size() < sure;
    out_.put(c, next);
}

void parallel::first_byte(call_id c, instant now)
{
    look(now);
    const auto at = out_.find(c);
    if (at == out_.end() || at->second.began) {
        return;
    }
    at->second.began = now;
    if (at->second.with_room) {
        prompts_.push_back(now - at->second.sent);
        if (prompts_.size() > prompts_remembered) {
            prompts_.pop_front();
        }
    }
}

void parallel::ended(call_id c, std::optional<duration> ran, instant now)
{
    look(now);
    const auto at = out_.find(c);
    if (at == out_.end()) {
        return;
    }
    one done = at->second;
    done.end = now;
    if (ran) {
        const auto began = std::max(done.sent, now - std::max(*ran, duration{}));
        // Of a run in two parts only the second is told, and the first byte came before it.
        if (!done.began || began < *done.began) {
            done.began = began;
            done.counted = false;
            done.timed = true;
        }
    }
    over(at, done, now);
}

void parallel::dropped(call_id c, instant now)
{
    look(now);
    const auto at = out_.find(c);
    if (at == out_.end()) {
        return;
    }
    one done = at->second;
    done.end = now;
    done.dropped = true;
    over(at, done, now);
}

void parallel::over(calls_out<one>::iterator at, one done, instant now)
{
    out_.erase(at);
    if (!all_said_) {
        look_back(done, now);
    }
    remember(done);
}

void parallel::forget(instant now)
{
    gone_.clear();
    for_.fill(0);
    against_.fill(0);
    retry_ = retry_first;
    if (limit_ != 0 && !trying_) {
        next_trial_ = std::min(next_trial_, now + retry_forgotten);
    }
}

void parallel::try_again(instant now)
{
    look(now);
    if (limit_ != 0 && !trying_) {
        trying_ = true;
        for_.fill(0);
        against_[limit_] = 0;
    }
}

// What can be told by now: whom a call began beside shows when they do not end at once.
void parallel::look(instant now)
{
    // What is looked for shows over `slack`: in a rush of short calls not each has to look at all.
    if (now - looked_ < slack / 20 && now >= looked_) {
        return;
    }
    looked_ = now;
    unsigned running = 0;
    for (auto& [id, c] : out_) {
        running += c.began && now - *c.began >= slack ? 1 : 0;
        count(c, now);
    }
    for (auto& c : gone_) {
        count(c, now);
    }
    run_at_once(running);
    all_said_ = running > most;
}

void parallel::count(one& c, instant now)
{
    if (!c.counted && c.began && now - *c.began >= slack) {
        c.counted = true;
        speaks_against(began_beside(c, now));
    }
}

void parallel::look_back(one& c, instant now)
{
    if (c.began) {
        count(c, now);
        run_at_once_with(c, now);
        claim(c, now);
    }
}

// How many surely ran when `c` began: known to have begun, or sent clearly before it. `c` itself is
// not among them.
unsigned parallel::began_beside(const one& c, instant now) const
{
    unsigned beside = 0;
    each([&](const one& x) {
        const bool before = x.sent <= c.sent - slack || (x.began && *x.began <= *c.began - slack);
        beside += before && x.sent <= *c.began && std::min(x.end, now) >= *c.began + slack ? 1 : 0;
    });
    return beside;
}

// Whose end did `c` begin after, and for how many slots does that speak?
void parallel::claim(const one& c, instant now)
{
    const auto began = *c.began;
    if (began + slack - c.sent < shortest_wait) {
        return;  // as most of many short calls: there was no time to stand behind anybody
    }
    // Perhaps before it in the queue, or running, at that time.
    const auto ahead = [&](const one& x, instant at) {
        return x.sent < at && (x.sent < c.sent + slack || (x.began && *x.began <= at));
    };
    one* freed = nullptr;
    for (auto& x : gone_) {
        if (x.end > c.sent && x.end <= began + slack && ahead(x, x.end) &&
            (freed == nullptr || x.end >= freed->end)) {
            freed = &x;
        }
    }
    if (freed == nullptr || freed->dropped || freed->used) {
        return;
    }
    const auto at = freed->end;
    unsigned slots = 0;
    // When it came to stand behind just these. Had it begun since then, that would have spoken
    // against: began_beside() would have counted all of them.
    auto since = c.sent;
    each([&](const one& x) {
        if (!ahead(x, at)) {
            return;
        }
        if (x.end <= at - slack) {
            since = std::max(since, x.end);
            return;
        }
        ++slots;
        if (x.sent > c.sent - slack) {
            since = std::max(since, x.began ? std::min(*x.began + slack, at) : at);
        }
    });
    const auto stood = at - since;
    const auto after = std::max(began - at, duration{});
    const auto part = seconds(after) / seconds(std::max(stood, shortest_wait));
    if (stood < shortest_wait || part > latest) {
        return;
    }
    if (!c.timed) {
        const auto usual = std::min_element(prompts_.begin(), prompts_.end());
        if (usual == prompts_.end() || (began - since) * 4 < *usual * 5 * (slots + 1)) {
            return;
        }
    }
    for (auto& x : gone_) {
        x.used = x.used || (x.end > at - slack && x.end < at + slack);
    }
    const auto weight = std::log1p(1 / std::max(part, soonest));
    speaks_for(slots, c.timed ? weight : weight * by_first_byte, now);
}

void parallel::speaks_for(unsigned slots, double weight, instant now)
{
    if (slots == 0 || slots > most) {
        return;
    }
    for_[slots] += weight;
    double voices = 0;
    for (unsigned k = 1; k <= most; ++k) {
        voices += for_[k];
        if (k == limit_) {
            if (trying_ && voices >= enough_in_trial) {
                trying_ = false;
                retry_ = std::min(retry_ * 2, retry_longest);
                next_trial_ = now + retry_;
                for_.fill(0);
            }
            return;
        }
        if (voices >= asked(against_[k])) {
            limit_ = k;
            trying_ = false;
            retry_ = retry_first;
            next_trial_ = now + retry_;
            std::fill(for_.begin() + k, for_.end(), 0);
            std::fill(against_.begin(), against_.begin() + k + 1, 0);
            return;
        }
    }
}

void parallel::speaks_against(unsigned slots)
{
    for (unsigned k = 1; k <= std::min(slots, most); ++k) {
        for_[k] = 0;
        against_[k] = std::min(against_[k] + 1, most_against);
    }
    if (trying_ && slots >= limit_ && against_[limit_] >= against_in_trial) {
        unlearn();
    }
}

// So many have been seen to run at once.
void parallel::run_at_once(unsigned calls)
{
    for (unsigned k = 1; k < std::min(calls, most + 1); ++k) {
        for_[k] = 0;
        against_[k] = most_against;
    }
    if (limit_ != 0 && calls > limit_) {
        unlearn();
    }
}

// The most that ran at once, for a while, at some time in the run of `c`, which is over. A run
// that was no while itself tells nothing that those beside it will not tell.
void parallel::run_at_once_with(const one& c, instant now)
{
    if (c.end < *c.began + slack) {
        return;
    }
    struct stretch {
        instant first, last;  // it ran on for a while from any time between them
    };
    std::vector<stretch> runs;  // few: of many that are out it is not known when they began
    const auto add = [&](const one& x) {
        if (x.began && std::min(x.end, now) >= *x.began + slack) {
            runs.push_back({*x.began, std::min(x.end, now) - slack});
        }
    };
    add(c);
    each(add);
    const auto count_from = [&](instant t) {
        return static_cast<unsigned>(std::count_if(runs.begin(), runs.end(), [&](const stretch& r) {
            return r.first <= t && r.last >= t;
        }));
    };
    unsigned running = count_from(*c.began);
    for (const auto& r : runs) {
        if (r.first > *c.began && r.first + slack <= c.end) {
            running = std::max(running, count_from(r.first));
        }
    }
    run_at_once(running);
}

// Keeps what a call that is out, or one still to be looked back at, may have stood behind. What is
// kept for nothing does no harm, so that looking for it is spread over many ends.
void parallel::remember(const one& c)
{
    if (out_.empty() && 2 * (since_tidied_ + 1) > gone_.size() + 1) {
        since_tidied_ = 0;  // nobody is out: all that would be kept is tidied away at once
        gone_.clear();
        return;
    }
    gone_.push_back(c);
    if (2 * ++since_tidied_ > gone_.size() + out_.size()) {
        since_tidied_ = 0;
        auto oldest = instant::max();
        for (const auto& [id, x] : out_) {
            oldest = std::min(oldest, x.sent);
        }
        std::erase_if(gone_, [&](const one& x) { return x.end < oldest; });
    }
    if (gone_.size() > remembered) {
        gone_.pop_front();
    }
}

// There are more slots than the limit says: how many is anybody's guess again.
void parallel::unlearn()
{
    limit_ = 0;
    trying_ = false;
    retry_ = retry_first;
    next_trial_ = instant::max();
}

}  // namespace gateway
