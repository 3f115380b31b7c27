// Ollama's scheduler, simulated: loads one at a time, eviction, keep_alive, slots.
#include <random>

#include "bench/sim/scheduler.hpp"
#include "catch.hpp"

using namespace sim;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

struct stage {
    explicit stage(scheduler_limits limits = {})
        : s(limits, {.plan_load = {},
                     .may_unload = [this](const runner&) { return unloads; },
                     .loaded =
                         [this](const load_report& r) {
                             loads.push_back(r.wanted.model->name + ' ' + std::string(r.result));
                             beside = r.beside;
                         },
                     .unloaded =
                         [this](const runner& r, std::string_view why) {
                             gone.push_back(r.model->name + ' ' + std::string(why));
                         }})
    {
    }

    model_ptr model(std::string text)
    {
        auto parsed = parse_model(text);
        REQUIRE(parsed.error.empty());
        return std::make_shared<const model_spec>(parsed.model);
    }
    ticket_ptr ask(model_ptr m, std::string options = {}, std::optional<duration> keep = {})
    {
        return s.ask({std::move(m), std::move(options), 4096, keep}, {}, now);
    }
    void pass(duration d)
    {
        auto until = now + d;
        while (s.next_due() <= until) {
            now = std::max(now, s.next_due());
            s.advance(now);
        }
        now = until;
    }
    bool loaded(const std::string& name)
    {
        for (auto& r : s.loaded())
            if (r->model->name == name)
                return true;
        return false;
    }

    bool unloads = true;
    std::vector<std::string> loads, gone;
    std::set<std::string> beside;  // of the last load
    instant now = instant(std::chrono::hours(1));
    scheduler s;
};

using phase = ticket::phase;

}  // namespace

TEST_CASE("loads come one at a time and in order")
{
    stage t;
    auto a = t.ask(t.model("a,load=1s")), b = t.ask(t.model("b,load=1s"));
    CHECK(a->at == phase::loading);
    CHECK(b->at == phase::queued);
    CHECK(t.s.loaded().empty());
    t.pass(seconds(1));
    CHECK(a->at == phase::seated);
    CHECK(b->at == phase::loading);
    CHECK(!t.loaded("b:latest"));
    t.pass(seconds(1));
    CHECK(b->at == phase::seated);
    auto again = t.ask(t.model("a,load=1s"));
    CHECK(again->at == phase::seated);
}

TEST_CASE("names on one blob share a runner")
{
    stage t;
    auto a = t.ask(t.model("a,load=0s,file=w")), b = t.ask(t.model("b,load=0s,file=w"));
    REQUIRE(b->at == phase::seated);
    CHECK(a->seat == b->seat);
    CHECK(t.loads.size() == 1);
}

TEST_CASE("the queue of loads is bounded and the refusal has Ollama's words")
{
    scheduler_limits l;
    l.max_queue = 1;
    stage t(l);
    t.ask(t.model("a,load=1s"));
    auto second = t.ask(t.model("b")), third = t.ask(t.model("c"));
    CHECK(second->at == phase::queued);
    CHECK(third->status == 503);
    CHECK(third->error == "server busy, please try again.  maximum pending requests exceeded");
}

TEST_CASE("a load is abandoned with the client that wanted it, and others start over")
{
    stage t;
    auto a = t.ask(t.model("a,load=1s"));
    auto b = t.ask(t.model("a,load=1s"));
    t.pass(milliseconds(900));
    CHECK(t.s.abandon(a, t.now));
    CHECK(t.loads == std::vector<std::string>{"a:latest aborted"});
    t.pass(milliseconds(900));
    CHECK(b->at == phase::loading);
    t.pass(milliseconds(100));
    CHECK(b->at == phase::seated);
}

TEST_CASE("keep_alive is counted from when the runner goes idle")
{
    stage t;
    auto a = t.ask(t.model("a,load=0s"), {}, seconds(10));
    t.pass(minutes(1));
    CHECK(t.loaded("a:latest"));
    t.s.finish(*a->seat, t.now);
    t.pass(seconds(9));
    CHECK(t.loaded("a:latest"));
    t.pass(seconds(2));
    CHECK(!t.loaded("a:latest"));
    CHECK(t.gone == std::vector<std::string>{"a:latest keep_alive"});
}

TEST_CASE("an unload waits for the calls that run, and an explicit keep_alive takes it back")
{
    stage t;
    auto m = t.model("a,load=0s");
    auto a = t.ask(m);
    t.s.unload(m->blob, t.now);
    t.pass(seconds(1));
    CHECK(t.loaded("a:latest"));
    SECTION("it goes when the last call ends")
    {
        t.s.finish(*a->seat, t.now);
        t.pass(seconds(1));
        CHECK(t.gone == std::vector<std::string>{"a:latest request"});
    }
    SECTION("a newcomer with keep_alive keeps it")
    {
        auto b = t.ask(m, {}, minutes(1));
        t.s.finish(*a->seat, t.now);
        t.s.finish(*b->seat, t.now);
        t.pass(seconds(30));
        CHECK(t.loaded("a:latest"));
    }
    SECTION("a newcomer without one does not")
    {
        auto b = t.ask(m);
        t.s.finish(*a->seat, t.now);
        t.pass(seconds(1));
        CHECK(t.loaded("a:latest"));
        t.s.finish(*b->seat, t.now);
        t.pass(seconds(1));
        CHECK(!t.loaded("a:latest"));
    }
}

TEST_CASE("an unload of what is not loaded is no event, and one that fails changes nothing")
{
    stage t;
    auto m = t.model("a,load=0s");
    t.s.unload(m->blob, t.now);
    auto a = t.ask(m);
    t.s.finish(*a->seat, t.now);
    t.unloads = false;
    t.s.unload(m->blob, t.now);
    t.pass(minutes(60));
    CHECK(t.loaded("a:latest"));
    t.unloads = true;
    t.s.unload(m->blob, t.now);
    t.pass(seconds(1));
    CHECK(!t.loaded("a:latest"));
}

TEST_CASE("what does not fit evicts the idle runner with the shortest keep_alive")
{
    scheduler_limits l;
    l.vram = 10'000'000'000;
    stage t(l);
    auto a = t.ask(t.model("a,load=0s,size=4GB"), {}, minutes(5));
    auto b = t.ask(t.model("b,load=0s,size=4GB"), {}, minutes(1));
    t.s.finish(*a->seat, t.now);
    t.s.finish(*b->seat, t.now);
    auto c = t.ask(t.model("c,load=0s,size=4GB"));
    t.pass(seconds(1));
    CHECK(c->at == phase::seated);
    CHECK(t.gone == std::vector<std::string>{"b:latest evicted"});
    CHECK(t.loaded("a:latest"));
}

TEST_CASE("an eviction waits for the victim's calls, and blocks every other load")
{
    scheduler_limits l;
    l.max_loaded = 1;
    l.evict_deadlock = GENERATE(false, true);
    stage t(l);
    auto m = t.model("a,load=0s");
    auto a = t.ask(m);
    auto b = t.ask(t.model("b,load=0s")), c = t.ask(t.model("c,load=0s"));
    CHECK(b->at == phase::evicting);
    t.pass(minutes(30));
    CHECK(b->at == phase::evicting);
    CHECK(c->at == phase::queued);
    // #17408: a request with a keep_alive of its own to the victim.
    auto late = t.ask(m, {}, forever);
    REQUIRE(late->at == phase::seated);
    t.s.finish(*a->seat, t.now);
    t.s.finish(*late->seat, t.now);
    t.pass(minutes(30));
    CHECK(b->at == (l.evict_deadlock ? phase::evicting : phase::seated));
}

TEST_CASE("a request that is cancelled during an eviction is told only when that is over")
{
    scheduler_limits l;
    l.max_loaded = 1;
    stage t(l);
    auto a = t.ask(t.model("a,load=0s"));
    auto b = t.ask(t.model("b,load=0s"));
    CHECK(!t.s.abandon(b, t.now));
    CHECK(b->at == phase::evicting);
    t.s.finish(*a->seat, t.now);
    t.pass(seconds(1));
    CHECK(b->status == 499);
    CHECK(t.s.loaded().empty());
}

TEST_CASE("other load-time options mean a reload")
{
    stage t;
    auto m = t.model("a,load=0s");
    auto a = t.ask(m);
    auto b = t.ask(m, "num_ctx=8192;");
    CHECK(b->at == phase::evicting);
    t.s.finish(*a->seat, t.now);
    t.pass(seconds(1));
    CHECK(b->at == phase::seated);
    CHECK(t.loads.size() == 2);
}

TEST_CASE("a runner with a num_gpu of its own serves who says nothing of it, and not the other way")
{
    stage t;
    auto m = t.model("a,load=0s");
    auto a = t.ask(m, "num_ctx=8192;num_gpu=20;num_thread=4;");
    auto b = t.ask(m, "num_ctx=8192;num_thread=4;");
    CHECK(b->at == phase::seated);
    auto c = t.ask(m, "num_ctx=8192;num_gpu=10;num_thread=4;");
    CHECK(c->at == phase::evicting);
    stage u;
    u.ask(m);
    CHECK(u.ask(m, "num_gpu=20;")->at == phase::evicting);
}

TEST_CASE("a load knows which models had calls while it was out")
{
    stage t;
    auto idle = t.ask(t.model("idle,load=0s"));
    auto busy = t.ask(t.model("busy,load=0s"));
    t.s.finish(*idle->seat, t.now);
    t.ask(t.model("new,load=1s"));
    t.pass(milliseconds(500));
    t.s.finish(*busy->seat, t.now);
    SECTION("those that had one at its beginning")
    {
        t.pass(seconds(1));
        CHECK(t.beside == std::set<std::string>{"busy:latest"});
    }
    SECTION("and those that got one meanwhile")
    {
        t.ask(t.model("idle,load=0s"));
        t.pass(seconds(1));
        CHECK(t.beside == std::set<std::string>{"busy:latest", "idle:latest"});
    }
}

TEST_CASE("the cache of a context takes VRAM for each slot")
{
    scheduler_limits l;
    l.vram = 10'000;
    l.num_parallel = 2;
    stage t(l);
    auto m = t.model("a,load=0s,size=1000,cache=1");
    auto a = t.s.ask({m, {}, 1000, {}}, {}, t.now);
    CHECK(a->seat->size_vram == 3000);
    auto b = t.s.ask({t.model("b,load=0s,size=1000,cache=1"), {}, 4000, {}}, {}, t.now);
    CHECK(b->at == phase::evicting);
    CHECK(a->seat->asked_while_busy);
    t.s.finish(*a->seat, t.now);
    t.pass(seconds(1));
    CHECK(b->seat->size_vram == 9000);
    // An embedding model has one slot, whatever the setting.
    stage u(l);
    auto e = u.s.ask({u.model("e,load=0s,size=1000,cache=1,embedding"), {}, 1000, {}}, {}, u.now);
    CHECK(e->seat->size_vram == 2000);
}

TEST_CASE("an eviction looks anew when any model goes")
{
    scheduler_limits l;
    l.max_loaded = 2;
    stage t(l);
    auto a = t.ask(t.model("a,load=0s"), {}, seconds(1));
    auto b = t.ask(t.model("b,load=0s"), {}, minutes(5));
    auto c = t.ask(t.model("c,load=0s"));
    CHECK(c->at == phase::evicting);  // waits for a, which runs
    t.s.finish(*b->seat, t.now);
    t.s.unload(b->wanted.model->blob, t.now);
    t.pass(seconds(1));
    CHECK(c->at == phase::seated);
    CHECK(t.loaded("a:latest"));
    CHECK(a->seat->evicted);
}

TEST_CASE("models come and go behind everybody's back, but busy ones stay")
{
    stage t;
    auto m = t.model("a,load=1s");
    CHECK(!t.s.drop(m->blob));
    CHECK(t.s.put({m, "num_ctx=8192;", 8192, seconds(10)}, t.now));
    CHECK(!t.s.put({m, {}, 4096, {}}, t.now));
    CHECK(t.loads.empty());
    auto a = t.ask(m, "num_ctx=8192;");
    CHECK(a->at == phase::seated);
    CHECK(!t.s.drop(m->blob));
    t.s.finish(*a->seat, t.now);
    CHECK(t.s.drop(m->blob));
    CHECK(t.s.loaded().empty());
    CHECK(t.s.put({m, {}, 4096, seconds(10)}, t.now));
    t.pass(seconds(11));
    CHECK(t.gone == std::vector<std::string>{"a:latest keep_alive"});
}

TEST_CASE("a restart forgets everything, and who still holds a runner cannot bring it back")
{
    scheduler_limits l;
    l.max_loaded = 1;
    stage t(l);
    auto m = t.model("a,load=1s");
    auto a = t.ask(m);
    t.pass(seconds(1));
    auto b = t.ask(t.model("b,load=1s")), c = t.ask(t.model("c"));
    CHECK(b->at == phase::evicting);
    t.s.clear(t.now);
    CHECK(t.gone == std::vector<std::string>{"a:latest restart"});
    CHECK(b->at == phase::refused);
    CHECK(c->at == phase::refused);
    t.s.finish(*a->seat, t.now);
    CHECK(t.s.next_due() == instant::max());
    auto again = t.ask(m);
    t.s.clear(t.now);
    CHECK(again->at == phase::refused);
    CHECK(t.loads.back() == "a:latest aborted");
    again = t.ask(m);
    t.pass(seconds(1));
    CHECK(again->at == phase::seated);
}

TEST_CASE("a cancelled request in the queue is freed, or leaks for ever")
{
    scheduler_limits l;
    l.leak_queued = GENERATE(false, true);
    stage t(l);
    t.ask(t.model("a,load=1s"));
    auto b = t.ask(t.model("b"));
    CHECK(t.s.abandon(b, t.now) == !l.leak_queued);
    t.pass(minutes(1));
    CHECK(b->at == phase::queued);
    CHECK(!t.loaded("b:latest"));
}

TEST_CASE("slots are given in order and never more than there are")
{
    std::mt19937 random(7);
    scheduler_limits l;
    l.num_parallel = 3;
    stage t(l);
    auto r = t.ask(t.model("a,load=0s"))->seat;
    std::list<turn> turns;
    for (int i = 0; i < 5000; ++i) {
        if (turns.empty() || random() % 2 == 0) {
            t.s.line_up(*r, turns.emplace_back());
        } else {
            auto it = std::next(turns.begin(), static_cast<long>(random() % turns.size()));
            t.s.leave_line(*r, *it);
            turns.erase(it);
        }
        auto granted =
            std::count_if(turns.begin(), turns.end(), [](auto& one) { return one.granted; });
        REQUIRE(granted == std::min<long>(3, static_cast<long>(turns.size())));
        REQUIRE(r->busy == granted);
        // First come, first served.
        bool waiting = false;
        for (auto& one : turns) {
            REQUIRE(!(waiting && one.granted));
            waiting = waiting || !one.granted;
        }
    }
}

TEST_CASE("whatever happens, refs are counted, VRAM is kept and nobody is forgotten")
{
    std::mt19937 random(11);
    scheduler_limits l;
    l.vram = 10'000'000'000;
    l.max_loaded = 2;
    stage t(l);
    std::vector<model_ptr> models{t.model("a,load=1s,size=6GB"), t.model("b,load=2s,size=3GB"),
                                  t.model("c,load=0s,size=4GB"), t.model("d,load=1s,size=40GB")};
    std::vector<ticket_ptr> tickets;
    for (int i = 0; i < 20000; ++i) {
        switch (random() % 6) {
            case 0:
            case 1:
                tickets.push_back(
                    t.ask(models[random() % models.size()], random() % 4 == 0 ? "num_ctx=1;" : "",
                          random() % 3 == 0 ? std::optional<duration>(seconds(random() % 5))
                                            : std::nullopt));
                break;
            case 2: t.s.unload(models[random() % models.size()]->blob, t.now); break;
            case 3: t.pass(milliseconds(random() % 700)); break;
            default:
                if (!tickets.empty()) {
                    auto at = random() % tickets.size();
                    auto who = tickets[at];
                    bool drop = true;
                    if (who->at == phase::seated)
                        t.s.finish(*who->seat, t.now);
                    else if (who->at != phase::refused)
                        drop = t.s.abandon(who, t.now);
                    if (drop)
                        tickets.erase(tickets.begin() + static_cast<long>(at));
                }
        }
        std::uint64_t used = 0;
        int refs = 0;
        for (auto& r : t.s.loaded()) {
            used += r->size_vram;
            refs += r->refs;
        }
        REQUIRE(used <= l.vram);
        REQUIRE(t.s.loaded().size() <= 2);
        REQUIRE(refs == std::count_if(tickets.begin(), tickets.end(),
                                      [](auto& one) { return one->at == phase::seated; }));
    }
    // Once nobody holds anything, everything is served.
    for (int i = 0; i < 10000 && !tickets.empty(); ++i) {
        t.pass(seconds(1));
        for (auto it = tickets.begin(); it != tickets.end();) {
            if ((*it)->at == phase::seated)
                t.s.finish(*(*it)->seat, t.now);
            it = (*it)->at == phase::seated || (*it)->at == phase::refused ? tickets.erase(it)
                                                                           : it + 1;
        }
    }
    CHECK(tickets.empty());
    t.pass(minutes(10));
    CHECK(t.s.loaded().empty());
}
