// Random work on a store by several runners, some of which die, against a naive model of it.
#include "store_of_jobs.hpp"

#include <map>
#include <random>
#include <set>

using namespace gateway;

namespace {

struct expected {
    job_life life;
    std::int64_t runner = 0;
    std::string answer;
    bool interactive = false;
    bool sent = false;

    job_state told() const
    {
        bool waits = life.state == job_state::running && !sent;
        return waits ? job_state::queued : life.state;
    }
};

constexpr unsigned most_attempts = 2;

class world {
public:
    explicit world(unsigned seed) : random_(seed)
    {
        for (int i = 0; i < 3; ++i)
            revive();
    }

    void step()
    {
        now_ += std::int64_t(random_() % 50);
        switch (random_() % 12) {
            case 0:
            case 1: submit(); break;
            case 2:
            case 3: claim(); break;
            case 4:
            case 5:
            case 6: report(); break;
            case 7: ask(job_event::ask_cancel); break;
            case 8: ask(job_event::retry); break;
            case 9: remove(); break;
            case 10:
                if (random_() % 4 == 0)
                    die();
                break;
            case 11: sweep(); break;
        }
    }

    void check()
    {
        std::map<job_state, std::uint64_t> counted;
        for (auto& [id, e] : jobs_) {
            CAPTURE(id);
            auto j = s_.get(id);
            REQUIRE(j.life == e.life);
            REQUIRE(told_state(j) == e.told());
            REQUIRE(s_->pieces(j.number, 0, 1 << 20)->data == e.answer);
            ++counted[e.told()];
        }
        auto counts = *s_->counts();
        for (auto s : {job_state::queued, job_state::running, job_state::succeeded,
                       job_state::failed, job_state::cancelled}) {
            REQUIRE(counts[s] == counted[s]);
            // All pages of that state together, and in order.
            std::vector<std::int64_t> seen;
            for (std::int64_t cursor = 0, more = 1; more != 0; more = cursor) {
                auto page = *s_->list({s_.everybody, s, {}}, 3, cursor);
                for (auto& j : page.jobs) {
                    REQUIRE(told_state(j) == s);
                    seen.push_back(j.number);
                }
                cursor = page.cursor;
            }
            REQUIRE(seen.size() == counted[s]);
            REQUIRE(std::adjacent_find(seen.begin(), seen.end(), std::less_equal<>()) ==
                    seen.end());
        }
        REQUIRE(s_->list({s_.everybody, {}, {}}, 10'000, 0)->jobs.size() == jobs_.size());
    }

private:
    template <class Pred>
    std::string some(Pred&& wanted)
    {
        std::vector<std::string> all;
        for (auto& [id, e] : jobs_)
            if (wanted(e))
                all.push_back(id);
        return all.empty() ? std::string() : all[random_() % all.size()];
    }

    void revive()
    {
        auto number = ++last_runner_;
        runners_[number] = std::make_unique<runner_locks>(s_.path);
        REQUIRE(runners_[number]->hold(number));
    }
    std::int64_t some_runner()
    {
        auto it = runners_.begin();
        std::advance(it, random_() % runners_.size());
        return it->first;
    }
    // Its process ends; another comes.
    void die()
    {
        runners_.erase(some_runner());
        revive();
    }

    void submit()
    {
        std::vector<new_job> some;
        for (auto n = 1 + random_() % 3; n > 0; --n) {
            some.push_back(s_.one("j" + std::to_string(1000 + ++made_)));
            some.back().interactive = random_() % 3 == 0;
            jobs_[some.back().id].interactive = some.back().interactive;
        }
        REQUIRE(s_->submit(some, now_).has_value());
    }

    void claim()
    {
        auto runner = some_runner();
        unsigned wanted = 1 + random_() % 3;
        std::set<std::pair<bool, std::string>> waiting;  // as it is their turn
        for (auto& [id, e] : jobs_)
            if (e.life.state == job_state::queued)
                waiting.insert({!e.interactive, id});
        auto got = s_.claim(runner, wanted, now_);
        REQUIRE(got.size() == std::min<std::size_t>(wanted, waiting.size()));
        auto next = waiting.begin();
        for (auto& c : got) {
            REQUIRE(c.what.id == (next++)->second);
            auto& e = jobs_[c.what.id];
            e.life = *after(e.life, job_event::claim, most_attempts);
            e.runner = runner;
            e.answer.clear();
            e.sent = false;
            numbers_[c.what.id] = c.what.number;
        }
    }

    void report()
    {
        auto id = some([](auto& e) { return e.life.state == job_state::running; });
        if (id.empty())
            return;
        auto& e = jobs_[id];
        runner_turn t;
        t.runner = random_() % 8 == 0 ? some_runner() : e.runner;
        t.now = now_;
        t.max_attempts = most_attempts;
        job_report r;
        r.number = numbers_[id];
        r.run = e.life.run;
        r.at = e.answer.size();
        r.data = std::string(random_() % 20, char('a' + random_() % 26));
        constexpr job_event ends[] = {job_event::succeed, job_event::fail, job_event::put_back,
                                      job_event::stop, job_event::lose};
        bool sent = random_() % 2 == 0;
        if (sent != e.sent)
            r.start = reported_start{sent ? maybe_number(now_) : maybe_number()};
        if (random_() % 2 == 0) {
            r.over.emplace();
            r.over->how = ends[random_() % std::size(ends)];
            r.over->attempts = "[]";
        }
        t.reports.push_back(r);
        auto news = s_->turn(t);
        REQUIRE(news.has_value());
        REQUIRE(news->not_mine.empty() == (t.runner == e.runner));
        if (t.runner != e.runner)
            return;
        e.answer += r.data;
        e.sent = sent;
        if (r.over)
            e.life = *after(e.life, r.over->how, most_attempts);
    }

    void ask(job_event what)
    {
        auto id = some([](auto&) { return true; });
        if (id.empty())
            return;
        auto& e = jobs_[id];
        auto next = after(e.life, what, most_attempts);
        auto answer = what == job_event::retry ? *s_->retry(id, s_.everybody)
                                               : *s_->cancel(id, s_.everybody, now_);
        REQUIRE((answer != job_answer::not_now) == next.has_value());
        if (next)
            e.life = *next;
    }

    void remove()
    {
        auto id = some([](auto&) { return true; });
        if (id.empty() || random_() % 3 != 0)
            return;
        bool may = removable(jobs_[id].told());
        REQUIRE((*s_->remove(id, s_.everybody) == job_answer::done) == may);
        if (may)
            jobs_.erase(id);
    }

    void sweep()
    {
        auto runner = some_runner();
        std::vector<std::int64_t> mine;
        bool forgets = random_() % 2 == 0;
        std::size_t lost = 0;
        for (auto& [id, e] : jobs_) {
            if (e.life.state != job_state::running)
                continue;
            bool known = e.runner == runner && !(forgets && random_() % 2 == 0);
            if (known)
                mine.push_back(numbers_[id]);
            if (known || (e.runner != runner && runners_.count(e.runner) != 0))
                continue;
            e.life = *after(e.life, job_event::lose, most_attempts);
            ++lost;
        }
        REQUIRE(s_->sweep(runner, mine, now_, most_attempts)->all() == lost);
    }

    std::mt19937 random_;
    store_of_jobs s_;
    std::map<std::string, expected> jobs_;
    std::map<std::string, std::int64_t> numbers_;
    std::map<std::int64_t, std::unique_ptr<runner_locks>> runners_;
    std::int64_t last_runner_ = 0;
    std::int64_t now_ = 1000;
    int made_ = 0;
};

}  // namespace

TEST_CASE(
    "whatever several runners do and whenever they die, the store knows each job's true state")
{
    for (unsigned seed = 0; seed < 8; ++seed) {
        CAPTURE(seed);
        world w(seed);
        for (int step = 0; step < 250; ++step) {
            w.step();
            if (step % 10 == 0)
                w.check();
        }
        w.check();
    }
}
