// When a waiting client is told something, on a clock of our own.
#include "stream/courtesy.hpp"

#include "catch.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;
using act = courtesy::act;

namespace {

const instant start = instant(1000s);
const courtesy::settings defaults{1s, 15s, 1s, 10s, false};

struct told {
    std::int64_t ms;
    act what;
    bool operator==(const told&) const = default;
};

std::ostream& operator<<(std::ostream& out, const told& t)
{
    return out << t.ms << "ms:" << static_cast<int>(t.what);
}

// What happens to the call, each at so many milliseconds after it came; -1: never.
struct story {
    int queued = -1;
    int running = -1;
    int answered = -1;
};

// Lives through the story until `until` ms, sleeping only as next_due() says.
std::vector<told> live(courtesy c, const story& s, int until)
{
    std::vector<told> all;
    auto at = [](int t) { return t < 0 ? instant::max() : start + std::chrono::milliseconds(t); };
    instant queued = at(s.queued);
    instant running = at(s.running);
    instant answered = at(s.answered);
    for (;;) {
        auto now = std::min({queued, running, answered, c.next_due()});
        if (now == instant::max() || now > at(until)) {
            return all;
        }
        if (now == queued) {
            c.queued(now);
            queued = instant::max();
        } else if (now == running) {
            c.running(now);
            running = instant::max();
        } else if (now == answered) {
            c.upstream_answered();
            answered = instant::max();
        }
        if (now == running || now == answered) {
            continue;  // all of an instant's news before what follows from it
        }
        auto what = c.due(now);
        if (what != act::nothing) {
            all.push_back({ms(now - start), what});
        }
    }
}

courtesy plain(telling t, shape s)
{
    return {t, false, s, defaults, start};
}

courtesy asked(telling t, shape s)
{
    return {t, true, s, defaults, start};
}

using list = std::vector<told>;

}  // namespace

TEST_CASE("a call that has its permit within the grace is plain proxying")
{
    CHECK(live(plain(telling::padding, shape::ndjson), {0, 900, 5000}, 60'000).empty());
    CHECK(live(plain(telling::comment, shape::sse), {0, 1000, 5000}, 60'000).empty());
    CHECK(live(plain(telling::padding, shape::ndjson), {-1, 0, 5000}, 60'000).empty());
}

TEST_CASE(
    "a stream that waits longer is committed after the grace and hears a heartbeat until the "
    "answer")
{
    CHECK(live(plain(telling::padding, shape::ndjson), {0, 25'000, 42'000}, 60'000) ==
          list{{1000, act::commit},
               {11'000, act::tell},
               {21'000, act::tell},
               {31'000, act::tell},
               {41'000, act::tell}});
    CHECK(live(plain(telling::comment, shape::sse), {200, -1, -1}, 12'000) ==
          list{{1200, act::commit}, {11'200, act::tell}});
}

TEST_CASE("a call with nothing from upstream is committed after commit_whole, queued or not")
{
    for (auto s : {shape::ndjson, shape::sse, shape::one_piece}) {
        CHECK(live(plain(telling::padding, s), {-1, 0, 26'000}, 60'000) ==
              list{{15'000, act::commit}, {25'000, act::tell}});
        CHECK(live(plain(telling::padding, s), {0, 500, 26'000}, 60'000) ==
              list{{15'000, act::commit}, {25'000, act::tell}});
    }
    CHECK(live(asked(telling::sse_chunk, shape::sse), {-1, 0, 16'500}, 60'000) ==
          list{{15'000, act::commit}, {16'000, act::tell}});
}

TEST_CASE("a one-piece call is committed by commit_whole alone, asked for events or not")
{
    for (bool at_once : {false, true}) {
        courtesy c(telling::padding, at_once, shape::one_piece, defaults, start);
        CHECK(live(c, {0, 14'000, 30'000}, 60'000) ==
              list{{15'000, act::commit}, {25'000, act::tell}});
    }
}

TEST_CASE("with commit_whole 0 only waiting streams are committed")
{
    auto with = defaults;
    with.commit_whole = 0s;
    CHECK(live({telling::padding, true, shape::one_piece, with, start}, {0, -1, -1}, 3'600'000)
              .empty());
    CHECK(live({telling::padding, false, shape::ndjson, with, start}, {-1, 0, -1}, 3'600'000)
              .empty());
    CHECK(live({telling::padding, false, shape::ndjson, with, start}, {0, -1, -1}, 5000) ==
          list{{1000, act::commit}});
}

TEST_CASE("who asked for events is told at once, each interval, and when the wait is over")
{
    CHECK(live(asked(telling::sse_chunk, shape::sse), {0, 2500, 4000}, 60'000) ==
          list{{0, act::commit},
               {1000, act::tell},
               {2000, act::tell},
               {2500, act::tell},
               {3500, act::tell}});
    CHECK(live(asked(telling::native_chunk, shape::ndjson), {0, 0, 4000}, 60'000).empty());
    // The permit came in the same breath as the place in the queue.
}

TEST_CASE("who is looked at a little late each time is told as often all the same")
{
    auto c = asked(telling::sse_chunk, shape::sse);
    c.queued(start);
    CHECK(c.due(start) == act::commit);
    for (int second = 1; second <= 1000; ++second) {
        INFO(second);
        REQUIRE(c.next_due() == start + std::chrono::seconds(second));
        REQUIRE(c.due(c.next_due() + 10ms) == act::tell);
    }
    // Who was forgotten for longer is not told twice in a row for it.
    const auto late = c.next_due() + 700ms;
    CHECK(c.due(late) == act::tell);
    CHECK(c.next_due() == late + 1s);
}

TEST_CASE(
    "who asked for events where only heartbeats are harmless is committed at once and hears those")
{
    CHECK(live(asked(telling::ping, shape::sse), {0, 12'000, 21'000}, 60'000) ==
          list{{0, act::commit}, {10'000, act::tell}, {20'000, act::tell}});
}

TEST_CASE("a load that begins is told at once to who asked, and to nobody else")
{
    courtesy events(telling::sse_raw, true, shape::native_sse, defaults, start);
    events.queued(start);
    CHECK(events.due(start) == act::commit);
    events.phase_changed(start + 300ms);
    CHECK(events.next_due() == start + 300ms);
    CHECK(events.due(start + 300ms) == act::tell);
    CHECK(events.due(start + 300ms) == act::nothing);
    CHECK(events.next_due() == start + 1300ms);

    courtesy beats(telling::padding, false, shape::ndjson, defaults, start);
    beats.queued(start);
    CHECK(beats.due(start + 1s) == act::commit);
    beats.phase_changed(start + 2s);
    CHECK(beats.next_due() == start + 11s);
}

TEST_CASE("a phase that changes before anything was told commits nothing")
{
    courtesy c(telling::sse_chunk, true, shape::sse, defaults, start);
    c.phase_changed(start + 1s);
    CHECK(c.due(start + 1s) == act::nothing);
    CHECK_FALSE(c.committed());
}

TEST_CASE("a call put back in the queue waits under a new grace, and is told when it was committed")
{
    courtesy c(telling::padding, false, shape::ndjson, defaults, start);
    c.queued(start);
    c.running(start + 500ms);
    c.queued(start + 5s);
    CHECK(c.next_due() == start + 6s);
    CHECK(c.due(start + 6s) == act::commit);

    courtesy events(telling::sse_chunk, true, shape::sse, defaults, start);
    events.queued(start);
    CHECK(events.due(start) == act::commit);
    events.running(start + 100ms);
    CHECK(events.due(start + 100ms) == act::tell);
    events.queued(start + 200ms);
    CHECK(events.due(start + 200ms) == act::tell);
}

TEST_CASE("a client that wants silence gets neither head nor heartbeat before the answer")
{
    CHECK(live(asked(telling::silent, shape::ndjson), {0, -1, -1}, 3'600'000).empty());
    CHECK(live(plain(telling::silent, shape::one_piece), {-1, 0, -1}, 3'600'000).empty());
}

TEST_CASE("nothing is told once the upstream has answered")
{
    courtesy c(telling::comment, false, shape::sse, defaults, start);
    c.queued(start);
    CHECK(c.due(start + 1s) == act::commit);
    c.upstream_answered();
    CHECK(c.next_due() == instant::max());
    CHECK(c.due(start + 1h) == act::nothing);
}

TEST_CASE("intervals of 0 tell once and do not spin")
{
    courtesy::settings none{0s, 0s, 0s, 0s, false};
    CHECK(live({telling::sse_chunk, true, shape::sse, none, start}, {0, -1, -1}, 3'600'000) ==
          list{{0, act::commit}});
    CHECK(live({telling::padding, false, shape::ndjson, none, start}, {0, -1, -1}, 3'600'000) ==
          list{{0, act::commit}});
}

TEST_CASE("a long wait in comments is refreshed by an empty chunk each 20 minutes")
{
    auto with = defaults;
    with.chunk_refresh = true;
    auto all = live({telling::comment, false, shape::sse, with, start}, {0, -1, -1}, 4 * 3'600'000);
    list refreshes;
    unsigned lines = 0;
    unsigned most_lines = 0;
    for (const auto& t : all) {
        if (t.what == act::chunk_refresh) {
            refreshes.push_back(t);
            lines = 0;
        } else {
            lines += 2;
        }
        most_lines = std::max(most_lines, lines);
    }
    REQUIRE(refreshes.size() == 11);
    CHECK(refreshes[0].ms == 1000 + 20 * 60 * 1000);
    CHECK(most_lines <= 240);  // of go-openai's 300

    // Heartbeats each second would have used up the 300 lines in 150 s.
    with.heartbeat = 1s;
    auto often = live({telling::comment, false, shape::sse, with, start}, {0, -1, -1}, 200'000);
    CHECK(std::count_if(often.begin(), often.end(),
                        [](const told& t) { return t.what == act::chunk_refresh; }) == 1);

    for (auto t : {telling::padding, telling::ping, telling::sse_chunk}) {
        for (const auto& one : live({t, false, shape::sse, with, start}, {0, -1, -1}, 3'600'000)) {
            CHECK(one.what != act::chunk_refresh);
        }
    }
}

TEST_CASE("whatever happens the head is committed at most once and before every telling")
{
    std::mt19937 random(7);
    auto pick = [&](int n) { return std::uniform_int_distribution<int>(0, n)(random); };
    for (int round = 0; round < 2000; ++round) {
        auto t = static_cast<telling>(pick(7));
        auto s = static_cast<shape>(pick(3));
        courtesy c(t, pick(1) == 1, s, defaults, start);
        auto now = start;
        int commits = 0;
        bool answered = false;
        for (int step = 0; step < 60; ++step) {
            now += std::chrono::milliseconds(pick(1500));
            switch (pick(9)) {
                case 0: c.queued(now); break;
                case 1: c.running(now); break;
                case 2: c.phase_changed(now); break;
                case 3:
                    if (pick(5) == 0) {
                        c.upstream_answered();
                        answered = true;
                    }
                    break;
                default: break;
            }
            bool was_due = c.next_due() <= now;
            auto what = c.due(now);
            CHECK((what != act::nothing) == was_due);
            commits += what == act::commit;
            REQUIRE(commits <= 1);
            if (what != act::nothing) {
                REQUIRE(commits == 1);
                REQUIRE_FALSE(answered);
                REQUIRE(t != telling::silent);
            }
            REQUIRE(c.committed() == (commits == 1));
            REQUIRE(c.next_due() > now);
        }
    }
}
