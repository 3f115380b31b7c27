// The silence of a model: tables, and random sequences against a count of every second.
#include "models/silence.hpp"

#include "catch.hpp"

#include <algorithm>
#include <optional>
#include <random>
#include <vector>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

const instant zero = instant{} + 1000h;

// What SPEC §7 says, second by second: who was out in each second since the last progress.
class naive_silence {
public:
    struct one {
        silence::call_id id;
        instant started, last;
        duration limit;
        std::optional<instant> left;
    };

    void started(silence::call_id c, duration limit, instant now)
    {
        if (!any_out() && now - last_out_ >= silence::forgets_after)
            forget_leavers();
        calls_.push_back({c, now, now, limit, {}});
    }
    void progressed(silence::call_id c, instant now)
    {
        find(c).last = now;
        reset(now);
    }
    void finished(silence::call_id c, instant now)
    {
        reset(now);
        std::erase_if(calls_, [&](const one& o) { return o.id == c; });
        last_out_ = now;
    }
    void left(silence::call_id c, instant now)
    {
        find(c).left = now;
        last_out_ = now;
    }
    void expired(silence::call_id c, instant now)
    {
        left(c, now);
        forget_leavers();
    }
    one& find(silence::call_id c)
    {
        return *std::find_if(calls_.begin(), calls_.end(),
                             [&](const one& o) { return o.id == c && !o.left; });
    }
    bool any_out() const
    {
        return std::any_of(calls_.begin(), calls_.end(), [](const one& o) { return !o.left; });
    }
    // Whole seconds only: every event of these tests falls on one.
    void count(instant now, duration& present, duration& leavers) const
    {
        present = leavers = {};
        for (auto t = progress_; t < now; t += 1s) {
            const auto covers = [&](const one& o) {
                return o.started <= t && (!o.left || t < *o.left);
            };
            bool by_present = false;
            bool by_any = false;
            for (const auto& o : calls_) {
                by_any = by_any || covers(o);
                by_present = by_present || (!o.left && covers(o));
            }
            present += by_present ? 1s : 0s;
            leavers += by_any && !by_present ? 1s : 0s;
        }
        if (!any_out() && now - last_out_ >= silence::forgets_after)
            leavers = {};
    }
    bool timed_out(silence::call_id c, instant now)
    {
        duration present, leavers;
        count(now, present, leavers);
        const auto& o = find(c);
        return o.limit > 0s && now - o.last + leavers / 2 >= o.limit &&
               present + leavers / 2 >= o.limit;
    }

private:
    void reset(instant now)
    {
        progress_ = now;
        forget_leavers();
    }
    void forget_leavers()
    {
        std::erase_if(calls_, [](const one& o) { return o.left.has_value(); });
    }
    std::vector<one> calls_;
    instant progress_ = zero;
    instant last_out_ = zero;
};

}  // namespace

TEST_CASE("a call of a silent model times out at its limit")
{
    silence s;
    s.started(1, 300s, zero);
    CHECK(s.out() == 1);
    CHECK_FALSE(s.timed_out(1, zero + 299s));
    CHECK(s.timed_out(1, zero + 300s));
    CHECK(s.silent_for(zero + 40s) == 40s);
    CHECK(s.look_again(1, zero + 40s) == zero + 300s);
}

TEST_CASE("a byte sets the clock back, and the limit may change with it")
{
    silence s;
    s.started(1, 300s, zero);
    s.progressed(1, zero + 200s);
    s.limit(1, 100s);
    CHECK(s.silent_for(zero + 250s) == 50s);
    CHECK_FALSE(s.timed_out(1, zero + 299s));
    CHECK(s.timed_out(1, zero + 300s));
}

TEST_CASE("a call waits for as long as others of its model have bytes")
{
    silence s;
    s.started(1, 100s, zero);
    s.started(2, 100s, zero);
    for (int i = 1; i <= 10; ++i)
        s.progressed(2, zero + i * 90s);
    CHECK_FALSE(s.timed_out(1, zero + 999s));
    CHECK(s.timed_out(1, zero + 1000s));
}

TEST_CASE("a finished call shows that the model works")
{
    silence s;
    s.started(1, 100s, zero);
    s.started(2, 100s, zero + 10s);
    s.finished(1, zero + 90s);
    CHECK_FALSE(s.timed_out(2, zero + 189s));
    CHECK(s.timed_out(2, zero + 190s));
}

TEST_CASE("a call of a model silent for others for long still has its own limit")
{
    silence s;
    s.started(1, 1000s, zero);
    s.started(2, 100s, zero + 900s);
    CHECK_FALSE(s.timed_out(2, zero + 999s));
    CHECK(s.timed_out(2, zero + 1000s));
}

TEST_CASE("a zero limit never times out")
{
    silence s;
    s.started(1, 0s, zero);
    CHECK_FALSE(s.timed_out(1, zero + 10000h));
    CHECK(s.look_again(1, zero + 1h) == instant::max());
}

TEST_CASE("callers who each lose patience cannot hide a hung model")
{
    for (const auto overlap : {0s, 10s}) {
        silence s;
        const auto limit = 100s;
        const auto stay = 30s;
        instant hit{};
        s.started(1, limit, zero);
        for (silence::call_id c = 1; c < 40 && hit == instant{}; ++c) {
            const auto from = zero + (c - 1) * (stay - overlap);
            for (auto t = from; t < from + stay; t += 1s) {
                if (t == from + stay - overlap)
                    s.started(c + 1, limit, t);
                if (s.timed_out(c, t) && hit == instant{})
                    hit = t;
            }
            s.left(c, from + stay);
            if (overlap == 0s)
                s.started(c + 1, limit, from + stay);
        }
        INFO("overlap " << seconds(overlap));
        CHECK(hit > zero + 1.5 * limit);
        CHECK(hit <= zero + 2 * limit);
    }
}

TEST_CASE("one byte forgives what the impatient ones waited")
{
    silence s;
    for (silence::call_id c = 1; c <= 5; ++c) {
        s.started(c, 100s, zero + c * 30s);
        s.left(c, zero + c * 30s + 30s);
    }
    s.started(6, 100s, zero + 180s);
    CHECK(s.silent_for(zero + 180s) == 75s);
    s.progressed(6, zero + 181s);
    CHECK(s.silent_for(zero + 181s) == 0s);
    CHECK_FALSE(s.timed_out(6, zero + 280s));
    CHECK(s.timed_out(6, zero + 281s));
}

TEST_CASE("time with no call out is no silence, and after ten minutes of it leavers are forgotten")
{
    silence s;
    s.started(1, 100s, zero);
    s.left(1, zero + 80s);
    CHECK(s.idle());
    CHECK(s.silent_for(zero + 500s) == 40s);
    s.started(2, 100s, zero + 500s);
    CHECK(s.silent_for(zero + 510s) == 50s);
    s.left(2, zero + 520s);
    CHECK(s.silent_for(zero + 520s + 599s) == 50s);
    CHECK(s.silent_for(zero + 520s + 600s) == 0s);
    s.started(3, 100s, zero + 520s + 600s);
    CHECK(s.silent_for(zero + 520s + 650s) == 50s);
}

TEST_CASE("who has been timed out leaves the next one its whole limit")
{
    silence s;
    s.started(1, 100s, zero);
    s.started(2, 100s, zero + 60s);
    REQUIRE(s.timed_out(1, zero + 100s));
    s.expired(1, zero + 100s);
    CHECK(s.silent_for(zero + 100s) == 40s);  // the clock of those present goes on
    CHECK_FALSE(s.timed_out(2, zero + 159s));
    REQUIRE(s.timed_out(2, zero + 160s));
    s.expired(2, zero + 160s);
    s.started(3, 100s, zero + 160s);
    CHECK_FALSE(s.timed_out(3, zero + 259s));
    CHECK(s.timed_out(3, zero + 260s));
}

TEST_CASE("a slow model is told from a hung one by what others had since")
{
    silence s;
    s.started(1, 100s, zero);
    s.started(2, 100s, zero);
    s.started(3, 100s, zero);
    CHECK_FALSE(s.others_progressed(1, zero));
    s.progressed(1, zero + 10s);
    CHECK_FALSE(s.others_progressed(1, zero));  // its own byte is no other's
    CHECK(s.others_progressed(2, zero));
    CHECK_FALSE(s.others_progressed(2, zero + 10s));
    s.progressed(2, zero + 20s);
    s.progressed(2, zero + 30s);
    CHECK(s.others_progressed(2, zero + 9s));  // the first one's byte still counts
    CHECK_FALSE(s.others_progressed(2, zero + 10s));
    s.finished(2, zero + 40s);
    CHECK(s.others_progressed(1, zero + 39s));
    s.left(1, zero + 50s);
    CHECK_FALSE(s.others_progressed(3, zero + 40s));
}

TEST_CASE("what is said of calls that are not there changes nothing")
{
    silence s;
    s.started(1, 100s, zero);
    s.progressed(9, zero + 50s);
    s.finished(9, zero + 50s);
    s.left(9, zero + 50s);
    s.expired(9, zero + 50s);
    s.limit(9, 1s);
    CHECK(s.silent_for(zero + 60s) == 60s);
    CHECK_FALSE(s.timed_out(9, zero + 500s));
    CHECK(s.look_again(9, zero) == instant::max());
}

TEST_CASE("silence agrees with counting every second, and nobody is looked at too late")
{
    for (unsigned seed = 1; seed <= 40; ++seed) {
        std::mt19937 random(seed);
        silence s;
        naive_silence naive;
        struct watched {
            silence::call_id id;
            duration limit;
            instant look;
            bool others_left;  // since that was asked
        };
        std::vector<watched> out;
        silence::call_id next = 1;
        auto now = zero;
        for (int step = 0; step < 1200; ++step) {
            now += std::chrono::seconds(1);
            if (random() % 400 == 0)
                now += std::chrono::minutes(random() % 12);
            const auto pick = random() % 100;
            if (pick < 8 && out.size() < 5) {
                const auto limit = std::chrono::seconds(random() % 6 ? 20 + random() % 60 : 0);
                s.started(next, limit, now);
                naive.started(next, limit, now);
                out.push_back({next, limit, now, false});
                ++next;
            } else if (pick < 16 && !out.empty()) {
                const auto at = out.begin() + static_cast<long>(random() % out.size());
                const auto how = random() % 12;
                if (how == 0) {
                    s.progressed(at->id, now);
                    naive.progressed(at->id, now);
                } else if (how == 1) {
                    s.finished(at->id, now);
                    naive.finished(at->id, now);
                    out.erase(at);
                } else {
                    s.left(at->id, now);
                    naive.left(at->id, now);
                    out.erase(at);
                    for (auto& w : out)
                        w.others_left = true;
                }
            }
            duration present, leavers;
            naive.count(now, present, leavers);
            REQUIRE(s.silent_for(now) == present + leavers / 2);
            REQUIRE(s.out() == out.size());
            for (auto& w : out) {
                const bool over = naive.timed_out(w.id, now);
                REQUIRE(s.timed_out(w.id, now) == over);
                if (!over && now >= w.look) {
                    w.look = s.look_again(w.id, now);
                    w.others_left = false;
                    REQUIRE(w.look > now);
                }
                if (over)
                    REQUIRE(w.look <= (w.others_left ? now + w.limit / 16 : now));
            }
            if (random() % 3 == 0) {
                const auto over = std::find_if(out.begin(), out.end(), [&](const watched& w) {
                    return s.timed_out(w.id, now);
                });
                if (over != out.end()) {
                    s.expired(over->id, now);
                    naive.expired(over->id, now);
                    out.erase(over);
                }
            }
        }
    }
}
