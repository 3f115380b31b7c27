// What counts for and against a limit of an upstream's own, call by call.
#include "models/parallel.hpp"

#include "catch.hpp"

#include <algorithm>
#include <vector>

using namespace gateway;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

namespace {

constexpr instant start = instant{} + hours(1);

instant at(double seconds)
{
    return start + std::chrono::duration_cast<duration>(std::chrono::duration<double>(seconds));
}
duration took(double seconds)
{
    return at(seconds) - start;
}

enum class told { stream, native_stream, one_piece };

// One call, in seconds: sent, its first byte, its end; `began`: when it truly did.
struct one {
    double sent;
    double began;
    double first;
    double end;
};

// Tells of all of them in the order of time. Ends come before what they make room for.
void play(parallel& p, const std::vector<one>& calls, told how = told::stream)
{
    struct event {
        double at;
        int order;
        std::size_t call;
    };
    std::vector<event> events;
    for (std::size_t i = 0; i < calls.size(); ++i) {
        events.push_back({calls[i].end, 0, i});
        events.push_back({calls[i].sent, 1, i});
        events.push_back({calls[i].first, 2, i});
    }
    std::sort(events.begin(), events.end(), [](const event& a, const event& b) {
        return a.at != b.at ? a.at < b.at : a.order < b.order;
    });
    // Ids that no earlier play had.
    static parallel::call_id used = 0;
    for (const auto& e : events) {
        const auto id = used + e.call;
        const auto now = at(e.at);
        if (e.order == 1) {
            p.sent(id, now);
        } else if (e.order == 2 && how != told::one_piece) {
            p.first_byte(id, now);
        } else if (e.order == 0) {
            const auto& c = calls[e.call];
            p.ended(id, how == told::stream ? std::nullopt : std::optional(took(c.end - c.began)),
                    now);
        }
    }
    used += calls.size();
}

// A stock Ollama behind three permits: each call runs 5 s, its first byte comes after 0.3.
std::vector<one> serial(unsigned calls, double from = 0, double run = 5, double prompt = 0.3)
{
    std::vector<one> all;
    for (unsigned i = 0; i < calls; ++i) {
        const auto begins = from + i * run;
        const auto sent = i < 3 ? from : from + (i - 2) * run;
        all.push_back({sent, begins + 0.02, begins + prompt, begins + run});
    }
    return all;
}

// `calls` calls, each sent as the one `slots` before it ended.
std::vector<one> beside(unsigned slots, unsigned calls, double from, double prompt, double run)
{
    std::vector<one> all;
    for (unsigned i = 0; i < calls; ++i) {
        const auto sent = i < slots ? from + i * (prompt + run) / slots : all[i - slots].end;
        all.push_back({sent, sent + 0.02, sent + prompt, sent + prompt + run});
    }
    return all;
}

parallel taught_one()
{
    parallel p;
    play(p, serial(10));
    REQUIRE(p.limit() == 1);
    return p;
}

}  // namespace

TEST_CASE("a stock Ollama behind three permits is recognised within ten calls")
{
    for (auto how : {told::stream, told::native_stream, told::one_piece}) {
        for (double prompt : {0.05, 0.3, 1.0}) {
            INFO(int(how) << ' ' << prompt);
            parallel p;
            play(p, serial(10, 0, 5, prompt), how);
            CHECK(p.limit() == 1);
        }
        parallel early;
        play(early, serial(3), how);
        CHECK(early.limit() == 0);
    }
}

TEST_CASE("one that runs all at once is never taken for less")
{
    struct row {
        double prompt;
        double run;
    };
    for (const auto& row : {row{0.3, 5}, {3, 0.5}, {3, 0.05}, {0.05, 0.05}, {5, 5}, {0.1, 30}}) {
        for (unsigned slots : {2, 3, 4}) {
            for (auto how : {told::stream, told::native_stream, told::one_piece}) {
                INFO(row.prompt << ' ' << row.run << " × " << slots << ' ' << int(how));
                parallel p;
                play(p, beside(slots, 500, 0, row.prompt, row.run), how);
                CHECK(p.limit() == 0);
            }
        }
    }
}

TEST_CASE("calls that come one after another say nothing of a limit")
{
    parallel p;
    play(p, beside(1, 100, 0, 0.3, 5), told::native_stream);
    CHECK(p.limit() == 0);
    CHECK(p.next_trial() == instant::max());
}

TEST_CASE("bursts that begin and end together say nothing of a limit")
{
    for (auto how : {told::stream, told::native_stream, told::one_piece}) {
        parallel p;
        for (int burst = 0; burst < 100; ++burst) {
            const double t = burst * 20;
            play(p, {{t, t, t + 3, t + 4}, {t, t, t + 3, t + 4}, {t, t, t + 3.2, t + 4.4}}, how);
        }
        CHECK(p.limit() == 0);
    }
}

TEST_CASE("a call that begins while another runs wipes out what spoke against it")
{
    parallel p;
    play(p, serial(6));
    REQUIRE(p.limit() == 0);
    play(p, {{100, 100, 100.3, 105}, {101, 101, 101.3, 106}});
    // What would have sufficed does not any more.
    play(p, serial(6, 200));
    CHECK(p.limit() == 0);
    // The world may have changed; it is believed in the end.
    play(p, serial(40, 300));
    CHECK(p.limit() == 1);
}

TEST_CASE("more that are seen to run than the limit lift it at once")
{
    auto p = taught_one();
    p.sent(1000, at(100));
    p.sent(1001, at(100));
    p.first_byte(1000, at(101));
    p.first_byte(1001, at(101));
    CHECK(p.limit() == 1);
    p.sent(1002, at(101.2));
    CHECK(p.limit() == 0);
    CHECK(p.next_trial() == instant::max());

    // One-piece answers tell at their end.
    p = taught_one();
    play(p, {{100, 100, 0, 105}, {100, 100, 0, 104}}, told::one_piece);
    CHECK(p.limit() == 0);
}

TEST_CASE("two that are seen out of order for a moment prove nothing")
{
    auto p = taught_one();
    for (int i = 0; i < 20; ++i) {
        const double t = 100 + i * 10;
        // The end of the first is read a little after the first byte of the second.
        play(p, {{t, t, t + 0.3, t + 5.03}, {t, t + 5, t + 5.01, t + 8}});
    }
    CHECK(p.limit() == 1);
}

TEST_CASE("more than the limit is tried after a while, longer each time that it fails")
{
    auto p = taught_one();
    auto expected = parallel::retry_first;
    double t = 100;
    auto due = p.next_trial();
    CHECK(due > at(20));
    CHECK(due <= at(50) + expected);
    for (int round = 0; round < 6; ++round) {
        t = std::max(t + 1000, seconds(due - start) + 1);
        p.try_again(at(t));
        CHECK(p.limit() == 2);
        CHECK(p.next_trial() == instant::max());
        // Two at once, one waits unseen.
        std::vector<one> calls;
        for (int i = 0; i < 8; ++i) {
            calls.push_back(
                {t + std::max(0, i - 1) * 5, t + i * 5, t + i * 5 + 0.3, t + i * 5 + 5});
        }
        play(p, calls);
        CHECK(p.limit() == 1);
        expected = std::min(expected * 2, parallel::retry_longest);
        due = p.next_trial();
        CHECK(due <= at(t + 40) + expected);
        CHECK(due > at(t) + expected);
    }
    CHECK(expected == parallel::retry_longest);
}

TEST_CASE("a trial that succeeds takes the limit away")
{
    for (auto how : {told::stream, told::native_stream, told::one_piece}) {
        auto p = taught_one();
        p.try_again(at(1000));
        CHECK(p.limit() == 2);
        play(p, {{1001, 1001, 1001.3, 1006}, {1002, 1002, 1002.3, 1007}}, how);
        CHECK(p.limit() == 0);
    }
    // Answers too short to be seen side by side: their order tells.
    auto p = taught_one();
    p.try_again(at(1000));
    for (int i = 0; i < 3; ++i) {
        const double t = 1001 + i * 10;
        play(p, {{t, t, t + 5, t + 5.05}, {t + 1, t + 1, t + 2, t + 2.05}});
    }
    CHECK(p.limit() == 0);
}

TEST_CASE("a restart makes the next trial come soon, and what was seen before counts no more")
{
    auto p = taught_one();
    p.forget(at(100));
    CHECK(p.limit() == 1);
    CHECK(p.next_trial() == at(100) + parallel::retry_forgotten);
    p.forget(at(150));
    CHECK(p.next_trial() == at(100) + parallel::retry_forgotten);

    parallel untaught;
    play(untaught, serial(6));
    untaught.forget(at(40));
    play(untaught, serial(6, 50));
    CHECK(untaught.limit() == 0);
    CHECK(untaught.next_trial() == instant::max());
}

TEST_CASE("what a client gave up frees a slot and proves nothing")
{
    parallel p;
    for (int i = 0; i < 200; ++i) {
        const auto id = parallel::call_id(2 * i);
        const double t = i * 20;
        p.sent(id, at(t));
        p.first_byte(id, at(t + 0.3));
        p.sent(id + 1, at(t + 1));
        p.dropped(id, at(t + 9));
        p.first_byte(id + 1, at(t + 9.2));
        p.ended(id + 1, std::nullopt, at(t + 12));
    }
    CHECK(p.limit() == 0);
}

TEST_CASE("calls that are not known are passed over")
{
    parallel p;
    p.first_byte(1, at(0));
    p.ended(1, took(5), at(1));
    p.dropped(1, at(1));
    p.try_again(at(2));
    p.forget(at(3));
    CHECK(p.limit() == 0);
    // A run longer than the call's whole life, and none.
    p.sent(1, at(4));
    p.ended(1, took(1e6), at(5));
    p.sent(2, at(6));
    p.ended(2, took(-5), at(7));
    CHECK(p.limit() == 0);
}

// Each end was set against every pair of calls: the event loop stood still for ten seconds.
TEST_CASE("four thousand calls that run at once and end together are looked back at in passing")
{
    parallel p;
    constexpr parallel::call_id calls = 4000;
    for (parallel::call_id id = 0; id < calls; ++id) {
        p.sent(id, at(0.001 * double(id)));
    }
    for (parallel::call_id id = 0; id < calls; ++id) {
        p.first_byte(id, at(5 + 0.001 * double(id)));
    }
    for (parallel::call_id id = 0; id < calls; ++id) {
        if (id % 2 == 0) {
            p.ended(id, took(2), at(20));
        } else {
            p.dropped(id, at(20));
        }
    }
    CHECK(p.limit() == 0);
}
