// What can become of a job: the table, and random lives against what must always hold.
#include "jobs/states.hpp"

#include "catch.hpp"

#include <random>
#include <vector>

using namespace gateway;

namespace {

constexpr job_event every_event[] = {job_event::claim,    job_event::succeed, job_event::fail,
                                     job_event::put_back, job_event::lose,    job_event::ask_cancel,
                                     job_event::stop,     job_event::retry};
constexpr job_state every_state[] = {job_state::queued, job_state::running, job_state::succeeded,
                                     job_state::failed, job_state::cancelled};

}  // namespace

TEST_CASE("every state has its word, and only these words are states")
{
    for (auto s : every_state)
        CHECK(job_state_of(word(s)) == s);
    CHECK(word(job_state::succeeded) == "succeeded");
    CHECK_FALSE(job_state_of("done"));
    CHECK_FALSE(job_state_of(""));
}

TEST_CASE("a job goes from queued to running to its one end")
{
    struct row {
        job_state from;
        job_event by;
        std::optional<job_state> to;
    };
    using s = job_state;
    using e = job_event;
    for (const row& r : std::vector<row>{
             {s::queued, e::claim, s::running},        {s::queued, e::ask_cancel, s::cancelled},
             {s::queued, e::succeed, std::nullopt},    {s::queued, e::fail, std::nullopt},
             {s::queued, e::put_back, std::nullopt},   {s::queued, e::lose, std::nullopt},
             {s::queued, e::stop, std::nullopt},       {s::queued, e::retry, std::nullopt},
             {s::running, e::claim, std::nullopt},     {s::running, e::succeed, s::succeeded},
             {s::running, e::fail, s::failed},         {s::running, e::put_back, s::queued},
             {s::running, e::lose, s::queued},         {s::running, e::ask_cancel, s::running},
             {s::running, e::stop, s::cancelled},      {s::running, e::retry, std::nullopt},
             {s::succeeded, e::claim, std::nullopt},   {s::succeeded, e::ask_cancel, std::nullopt},
             {s::succeeded, e::retry, std::nullopt},   {s::succeeded, e::lose, std::nullopt},
             {s::failed, e::claim, std::nullopt},      {s::failed, e::retry, s::queued},
             {s::failed, e::ask_cancel, std::nullopt}, {s::cancelled, e::retry, s::queued},
             {s::cancelled, e::succeed, std::nullopt}, {s::cancelled, e::claim, std::nullopt}}) {
        INFO(word(r.from) << " " << int(r.by));
        job_life j;
        j.state = r.from;
        j.attempt = j.run = 1;
        auto next = after(j, r.by, 2);
        CHECK(next.has_value() == r.to.has_value());
        if (next && r.to)
            CHECK(next->state == *r.to);
    }
}

TEST_CASE("a job that is lost is begun again until its attempts are used up, then it fails")
{
    job_life j;
    for (unsigned n = 1; n <= 3; ++n) {
        j = *after(j, job_event::claim, 3);
        CHECK(j.attempt == n);
        j = *after(j, job_event::lose, 3);
        CHECK(j.state == (n < 3 ? job_state::queued : job_state::failed));
    }
    j = *after(j, job_event::retry, 3);
    CHECK(j.attempt == 3);
    j = *after(*after(j, job_event::claim, 3), job_event::lose, 3);
    CHECK(j.state == job_state::queued);
}

TEST_CASE("a job that is put back has not used up an attempt, but its answer begins anew")
{
    auto j = *after(job_life{}, job_event::claim, 2);
    j = *after(j, job_event::put_back, 2);
    CHECK(j.attempt == 0);
    j = *after(j, job_event::claim, 2);
    CHECK(j.attempt == 1);
    CHECK(j.run == 2);
}

TEST_CASE("a job that somebody does not want any more is not begun again by whatever happens")
{
    for (auto e : {job_event::put_back, job_event::lose, job_event::stop}) {
        auto j = *after(job_life{}, job_event::claim, 9);
        j = *after(*after(j, job_event::ask_cancel, 9), e, 9);
        CHECK(j.state == job_state::cancelled);
    }
}

TEST_CASE("whatever happens in whatever order, a job's life holds together")
{
    std::mt19937 random(5);
    for (int round = 0; round < 2000; ++round) {
        unsigned most = 1 + random() % 4;
        job_life j;
        unsigned claims = 0, put_backs = 0, lost_since = 0;
        bool unwanted = false;
        for (int step = 0; step < 60; ++step) {
            auto e = every_event[random() % std::size(every_event)];
            auto next = after(j, e, most);
            if (!next)
                continue;
            claims += e == job_event::claim;
            put_backs += e == job_event::put_back;
            if (e == job_event::claim)
                REQUIRE_FALSE(unwanted);
            if (e == job_event::ask_cancel)
                unwanted = true;
            if (e == job_event::lose)
                ++lost_since;
            if (e == job_event::retry) {
                unwanted = false;
                lost_since = 0;
            }
            REQUIRE(next->attempt == claims - put_backs);
            REQUIRE(next->run == claims);
            REQUIRE(next->spent <= next->attempt);
            REQUIRE(lost_since <= most);
            if (finished(j.state))
                REQUIRE(e == job_event::retry);
            if (unwanted)
                REQUIRE(next->state != job_state::queued);
            if (e == job_event::lose && next->state == job_state::failed)
                REQUIRE(lost_since == most);
            j = *next;
        }
    }
}
