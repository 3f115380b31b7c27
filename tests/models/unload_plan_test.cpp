// The unload ladder: an upstream played by tables, and random ones against what must hold.
#include "models/unload_plan.hpp"

#include "catch.hpp"

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

using action = unload_plan::action;
using listing = unload_plan::listing;
using reply = unload_plan::reply;
using stage = unload_plan::stage;

namespace {

const instant zero = instant{} + 1000h;

// Plays an upstream: how long its answers take and what they say, as functions of the time since
// the beginning. Goes on until a declaration; notes what was done when, in milliseconds.
struct play {
    duration reply_takes = 10ms;
    reply replies = reply::ok;
    bool replies_at_all = true;
    duration listing_takes = 5ms;
    duration gone_after = 24h;
    duration unknown_until = 0ms;

    std::vector<std::int64_t> sent, listed;
    stage end = stage::unloading;
    duration took{};

    void run(unload_plan& plan)
    {
        std::optional<instant> reply_at, list_at;
        auto now = zero;
        for (int guard = 0; guard < 10000; ++guard) {
            if (reply_at && now >= *reply_at) {
                reply_at.reset();
                plan.replied(replies);
            }
            if (list_at && now >= *list_at) {
                list_at.reset();
                const auto since = now - zero;
                plan.listed(since < unknown_until ? listing::unknown
                            : since >= gone_after ? listing::without_it
                                                  : listing::shows_it,
                            now);
            }
            const auto step = plan.next(now);
            switch (step.what) {
                case action::send_unload:
                    sent.push_back(ms(now - zero));
                    reply_at = replies_at_all ? std::min(now + reply_takes, step.at) : step.at + 1h;
                    break;
                case action::list:
                    listed.push_back(ms(now - zero));
                    list_at = now + listing_takes;
                    break;
                case action::wait:
                    REQUIRE(step.at > now);
                    now = step.at;
                    if (reply_at)
                        now = std::min(now, *reply_at);
                    if (list_at)
                        now = std::min(now, *list_at);
                    break;
                case action::declare_gone:
                case action::declare_stuck:
                    end = plan.at();
                    took = plan.took(now + 1h);
                    return;
            }
        }
        FAIL("it never ended");
    }
};

}  // namespace

TEST_CASE("a model that goes is seen to be gone, and is asked once")
{
    unload_plan plan({30s, 3}, zero);
    play p;
    p.gone_after = 400ms;
    p.run(plan);
    CHECK(p.end == stage::gone);
    CHECK(p.sent == std::vector<std::int64_t>{0});
    CHECK(p.listed == std::vector<std::int64_t>{250, 505});
    CHECK(p.took == 510ms);
    CHECK_FALSE(plan.healed());
    CHECK(plan.last_reply() == reply::ok);
}

TEST_CASE("the listing is asked every quarter second at first and every two seconds at last")
{
    unload_plan plan({30s, 0}, zero);
    play p;
    p.listing_takes = 0ms;
    p.run(plan);
    CHECK(p.end == stage::stuck);
    CHECK(p.took == 30s);
    REQUIRE(p.listed.size() > 10);
    CHECK(p.listed[0] == 250);
    CHECK(p.listed[1] == 500);
    for (std::size_t i = 2; i < p.listed.size(); ++i) {
        const auto gap = p.listed[i] - p.listed[i - 1];
        CHECK(gap >= p.listed[i - 1] - p.listed[i - 2]);
        CHECK(gap <= 2000);
    }
    CHECK(p.listed.back() - p.listed[p.listed.size() - 2] == 2000);
}

TEST_CASE("an unload is asked again as often as configured, spread over the time there is")
{
    struct row {
        std::string what;
        unload_plan::settings set;
        bool replies_at_all;
        reply replies;
        duration reply_takes;
        std::vector<std::int64_t> sent;
    };
    const std::vector<row> rows{
        {"it says ok and stays", {30s, 3}, true, reply::ok, 10ms, {0, 7500, 15000, 22500}},
        {"it fails", {30s, 3}, true, reply::failed, 10ms, {0, 7500, 15000, 22500}},
        {"no retries", {30s, 0}, true, reply::ok, 10ms, {0}},
        {"one retry", {10s, 1}, true, reply::ok, 10ms, {0, 5000}},
        // Never two at once: the next one waits for the deadline of the one before.
        {"it hangs", {30s, 3}, false, reply::ok, 0ms, {0, 10000, 20000}},
        {"it hangs, little time", {4s, 3}, false, reply::ok, 0ms, {0}},
        {"it is slow", {30s, 3}, true, reply::ok, 9s, {0, 9000, 18000, 27000}},
    };
    for (const auto& r : rows) {
        INFO(r.what);
        unload_plan plan(r.set, zero);
        play p;
        p.replies_at_all = r.replies_at_all;
        p.replies = r.replies;
        p.reply_takes = r.reply_takes;
        p.run(plan);
        CHECK(p.sent == r.sent);
        CHECK(plan.requests() == r.sent.size());
        CHECK(p.end == stage::stuck);
        CHECK(p.took == r.set.verify_within);
    }
}

TEST_CASE("a request has ten seconds, or what there is if that is less")
{
    unload_plan plenty({30s, 3}, zero);
    CHECK(plenty.next(zero) == unload_plan::step{action::send_unload, zero + 10s});
    unload_plan little({4s, 3}, zero);
    CHECK(little.next(zero) == unload_plan::step{action::send_unload, zero + 4s});
    plenty.next(zero + 10s);
    CHECK(plenty.last_reply() == reply::no_answer);
}

TEST_CASE("an unknown listing is never gone")
{
    unload_plan plan({30s, 3}, zero);
    play p;
    p.gone_after = 0ms;
    p.unknown_until = 24h;
    p.run(plan);
    CHECK(p.end == stage::stuck);

    unload_plan later({30s, 3}, zero);
    play q;
    q.gone_after = 0ms;
    q.unknown_until = 12s;
    q.run(later);
    CHECK(q.end == stage::gone);
    CHECK(q.took >= 12s);
    CHECK(q.took <= 14s + 5ms);
}

TEST_CASE("a listing that never comes back does not keep the plan from its end")
{
    unload_plan plan({30s, 1}, zero);
    play p;
    p.listing_takes = 24h;
    p.run(plan);
    CHECK(p.end == stage::stuck);
    CHECK(p.listed.size() == 1);
}

TEST_CASE("a model that was gone before it was asked to go is not taken for gone")
{
    unload_plan plan({30s, 3}, zero);
    plan.listed(listing::without_it, zero);
    CHECK(plan.at() == stage::unloading);
    CHECK(plan.next(zero).what == action::send_unload);
    plan.listed(listing::without_it, zero + 1ms);
    CHECK(plan.at() == stage::gone);
}

TEST_CASE("however little time there is, the unload is asked once")
{
    unload_plan plan({0s, 3}, zero);
    CHECK(plan.next(zero + 1s).what == action::send_unload);
    CHECK(plan.next(zero + 1s).what == action::declare_stuck);
    CHECK(plan.requests() == 1);
}

TEST_CASE("asked once more a stuck model has the whole ladder again, and any other has not")
{
    unload_plan plan({5s, 1}, zero);
    plan.next(zero);
    plan.again(zero + 1s);
    CHECK(plan.next(zero + 1s).what == action::list);
    CHECK(plan.next(zero + 5s).what == action::declare_stuck);
    plan.again(zero + 60s);
    CHECK(plan.at() == stage::unloading);
    CHECK(plan.next(zero + 60s).what == action::send_unload);
    CHECK(plan.next(zero + 65s) == unload_plan::step{action::declare_stuck, zero + 65s});
}

TEST_CASE("a stuck model is healed by a listing without it or by a probe, and by nothing else")
{
    const auto stuck = [] {
        unload_plan plan({5s, 0}, zero);
        plan.next(zero);
        CHECK(plan.next(zero + 5s) == unload_plan::step{action::declare_stuck, zero + 5s});
        CHECK(plan.at() == stage::stuck);
        return plan;
    };
    auto plan = stuck();
    plan.listed(listing::unknown, zero + 6s);
    plan.listed(listing::shows_it, zero + 7s);
    plan.replied(reply::ok);
    CHECK(plan.next(zero + 8s).what == action::declare_stuck);
    CHECK(plan.took(zero + 8s) == 5s);
    plan.listed(listing::without_it, zero + 9s);
    CHECK(plan.at() == stage::gone);
    CHECK(plan.healed());
    CHECK(plan.took(zero + 20s) == 9s);
    CHECK(plan.next(zero + 9s).what == action::declare_gone);
    plan.listed(listing::shows_it, zero + 10s);  // somebody loaded it again: another story
    CHECK(plan.at() == stage::gone);

    auto probed = stuck();
    probed.probe_answered(zero + 6s);
    CHECK(probed.healed());
    unload_plan young({5s, 0}, zero);
    young.next(zero);
    young.probe_answered(zero + 1s);
    CHECK(young.at() == stage::unloading);
}

TEST_CASE("whatever an upstream does, an unload ends in time and as it was seen")
{
    for (unsigned seed = 1; seed <= 2000; ++seed) {
        std::mt19937 random(seed);
        const auto within = std::chrono::milliseconds(static_cast<int>(random() % 40000));
        const auto retries = static_cast<unsigned>(random() % 6);
        unload_plan plan({within, retries}, zero);
        bool request_out = false, listing_out = false, was_without = false;
        instant deadline{};
        unsigned sent = 0;
        auto now = zero;
        for (int steps = 0;; ++steps) {
            INFO("seed " << seed << " step " << steps);
            REQUIRE(steps < 5000);
            if (request_out && now >= deadline)
                request_out = false;
            if (request_out && random() % 8 == 0) {
                request_out = false;
                plan.replied(random() % 2 ? reply::ok : reply::failed);
            }
            if (random() % 6 == 0 && (listing_out || random() % 4 == 0)) {
                const auto said = random() % 40 == 0  ? listing::without_it
                                  : random() % 2 == 0 ? listing::unknown
                                                      : listing::shows_it;
                listing_out = false;
                was_without = was_without || (said == listing::without_it && sent > 0);
                plan.listed(said, now);
            }
            const auto step = plan.next(now);
            REQUIRE((plan.at() == stage::gone) == was_without);
            if (step.what == action::send_unload) {
                REQUIRE_FALSE(request_out);
                request_out = true;
                deadline = step.at;
                REQUIRE(deadline <= std::max(now, zero + within));
                REQUIRE(deadline - now <= 10s);
                REQUIRE(++sent <= retries + 1);
            } else if (step.what == action::list) {
                REQUIRE_FALSE(listing_out);
                listing_out = true;
            } else if (step.what == action::wait) {
                REQUIRE(step.at > now);
                REQUIRE(step.at <= zero + within);
                now = random() % 3 ? now + (step.at - now) * static_cast<int>(random() % 100) / 100
                                   : step.at;
            } else {
                REQUIRE(sent > 0);
                REQUIRE((step.what == action::declare_gone) == was_without);
                if (!was_without) {
                    REQUIRE(now >= zero + within);
                    REQUIRE(plan.took(now + 1h) == within);
                }
                break;
            }
        }
    }
}
