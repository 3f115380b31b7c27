// What an upstream holds: single events, and long random histories beside a model of Ollama.
#include "models/ledger.hpp"

#include "catch.hpp"

#include <algorithm>
#include <map>
#include <random>

using namespace gateway;
using namespace std::chrono_literals;

namespace {

const instant t0 = instant{} + 1h;

loaded_model shows(std::string name, std::uint64_t size = 5, std::uint64_t context = 4096,
                   std::optional<duration> expires = 300s)
{
    loaded_model m;
    m.name = m.canonical = std::move(name);
    m.size_vram = size;
    m.context_length = context;
    m.expires_in = expires;
    return m;
}

}  // namespace

TEST_CASE("a load makes a model ready, and a failed one leaves it absent")
{
    ledger l;
    l.load_begins("m", "", t0);
    CHECK(l.state("m") == model_state::loading);
    CHECK_FALSE(l.serves("m", "", true, t0));
    l.load_ended("m", true, 2s, t0 + 2s);
    CHECK(l.serves("m", "", true, t0 + 2s));
    CHECK(l.find("m")->last_load == 2s);
    l.load_begins("n", "", t0);
    l.load_ended("n", false, 2s, t0 + 2s);
    CHECK(l.state("n") == model_state::absent);
}

TEST_CASE("a listing that was asked for before a load had ended does not take the model away")
{
    ledger l;
    l.load_begins("m", "", t0);
    l.load_ended("m", true, 1s, t0 + 1s);
    auto d = l.listed({}, t0 + 500ms, t0 + 1500ms);
    CHECK(l.state("m") == model_state::ready);
    CHECK(d.vanished == 0);
    d = l.listed({}, t0 + 2s, t0 + 2100ms);
    CHECK(l.state("m") == model_state::absent);
    CHECK(d.vanished == 1);
    CHECK(d.gone == std::vector<std::string>{"m"});
}

TEST_CASE("what somebody else loaded appears, and serves a call that wishes for nothing")
{
    ledger l;
    auto d = l.listed({shows("m", 7, 8192)}, t0, t0 + 10ms);
    CHECK(d.appeared == 1);
    CHECK(l.serves("m", "", true, t0 + 1s));
    CHECK(l.serves("m", "num_ctx=8192", true, t0 + 1s));
    CHECK_FALSE(l.serves("m", "num_ctx=4096", true, t0 + 1s));
    CHECK(l.measured("m", "") == 0);  // with which options it takes that much is not known
    d = l.listed({shows("m", 7, 8192)}, t0 + 1s, t0 + 1s);
    CHECK(d.appeared == 0);
}

TEST_CASE("its own loads are measured by what the listing shows, per options")
{
    ledger l;
    l.load_begins("m", "num_ctx=8192", t0);
    l.load_ended("m", true, 1s, t0 + 1s);
    l.listed({shows("m", 9, 8192)}, t0 + 2s, t0 + 2s);
    CHECK(l.measured("m", "num_ctx=8192") == 9);
    CHECK(l.measured("m", "") == 0);
}

TEST_CASE("a model whose keep_alive is over serves nobody before it is loaded or seen again")
{
    ledger l;
    l.load_begins("m", "", t0);
    l.load_ended("m", true, 1s, t0 + 1s);
    l.listed({shows("m", 5, 4096, 10s)}, t0 + 2s, t0 + 2s);
    CHECK(l.serves("m", "", true, t0 + 11s));
    CHECK_FALSE(l.serves("m", "", true, t0 + 12s));
    l.call_began("m", t0 + 3s);  // a call of it is out: it stays for as long
    CHECK(l.serves("m", "", true, t0 + 30s));
    l.call_ended("m", false, 30s, t0 + 31s);
    CHECK(l.serves("m", "", true, t0 + 32s));  // when it goes is written anew, and not known yet
    auto d = l.listed({}, t0 + 40s, t0 + 40s);
    CHECK(d.vanished == 1);
}

TEST_CASE("one that is listed long after its time is in use by somebody else, and serves")
{
    ledger l;
    l.listed({shows("m", 5, 4096, -3600s)}, t0, t0);
    CHECK(l.serves("m", "", true, t0 + 1s));
    l.listed({shows("m", 5, 4096, -1s)}, t0 + 2s, t0 + 2s);
    CHECK_FALSE(l.serves("m", "", true, t0 + 3s));
}

TEST_CASE("one whose time is over goes without being counted as drift")
{
    ledger l;
    l.listed({shows("m", 5, 4096, 10s)}, t0, t0);
    auto d = l.listed({}, t0 + 11s, t0 + 11s);
    CHECK(l.state("m") == model_state::absent);
    CHECK(d.vanished == 0);
}

TEST_CASE("while the upstream is away nothing is forgotten, and nothing is believed")
{
    ledger l;
    l.load_begins("m", "", t0);
    l.load_ended("m", true, 1s, t0 + 1s);
    l.upstream_away();
    CHECK(l.state("m") == model_state::ready);
    CHECK_FALSE(l.serves("m", "", true, t0 + 2s));
    l.listed({shows("m")}, t0 + 3s, t0 + 3s);
    CHECK(l.serves("m", "", true, t0 + 4s));
}

TEST_CASE("a call with keep_alive 0 leaves a model that is unloading until a listing is without it")
{
    ledger l;
    l.load_begins("m", "", t0);
    l.load_ended("m", true, 1s, t0 + 1s);
    l.call_began("m", t0 + 2s);
    l.call_began("m", t0 + 2s);
    l.call_ended("m", true, 30s, t0 + 3s);
    CHECK(l.state("m") == model_state::ready);  // another call holds it
    l.call_ended("m", true, 30s, t0 + 4s);
    CHECK(l.state("m") == model_state::unloading);
    CHECK_FALSE(l.serves("m", "", true, t0 + 4s));
    l.listed({shows("m")}, t0 + 5s, t0 + 5s);
    CHECK(l.state("m") == model_state::unloading);
    l.listed({}, t0 + 6s, t0 + 6s);
    CHECK(l.state("m") == model_state::absent);
}

TEST_CASE(
    "a model with a client's own keep_alive goes after that long, and no listing need say when")
{
    ledger l;
    auto fresh = [&](duration keeps) {
        l.load_begins("m", "", t0);
        l.load_ended("m", true, 1s, t0 + 1s);
        l.keeps_its_own_time("m", keeps, t0 + 1s);
        CHECK(l.serves("m", "", true, t0 + 1s));
    };
    fresh(5s);
    CHECK(l.listed({}, t0 + 6s, t0 + 6s).vanished == 0);
    fresh(5min);  // pushed out: a second after a call nothing else takes it away
    CHECK(l.listed({}, t0 + 2s, t0 + 2s).vanished == 1);
    fresh(duration::max());
    CHECK(l.listed({}, t0 + 24h, t0 + 24h).vanished == 1);
    auto call = [&](duration keeps, instant from, instant to) {
        l.call_began("m", from);
        l.keeps_its_own_time("m", keeps, to);
        l.call_ended("m", false, 30s, to);
    };
    fresh(5s);
    call(5min, t0 + 2s, t0 + 3s);  // its time begins anew
    CHECK(l.listed({}, t0 + 7s, t0 + 7s).vanished == 1);
    fresh(5min);
    call(1ms, t0 + 2s, t0 + 3s);
    l.listed({shows("m")}, t0 + 2500ms, t0 + 3s);  // asked for before the call ended
    CHECK(l.listed({}, t0 + 3s, t0 + 3s).vanished == 0);
    fresh(5s);
    l.listed({shows("m")}, t0 + 2s, t0 + 2s);  // now it is known
    CHECK(l.listed({}, t0 + 7s, t0 + 7s).vanished == 1);
}

TEST_CASE("an unload that somebody took back is over when its time is")
{
    ledger l;
    l.listed({shows("m")}, t0, t0);
    l.unload_asked("m", 10s, t0 + 1s);
    l.listed({shows("m")}, t0 + 12s, t0 + 12s);
    CHECK(l.state("m") == model_state::ready);
}

TEST_CASE("a larger context serves a smaller wish unless that is switched off")
{
    ledger l;
    l.load_begins("m", "num_ctx=8192", t0);
    l.load_ended("m", true, 1s, t0 + 1s);
    CHECK(l.serves("m", "num_ctx=4096", true, t0 + 2s));
    CHECK_FALSE(l.serves("m", "num_ctx=4096", false, t0 + 2s));
    CHECK_FALSE(l.serves("m", "num_ctx=16384", true, t0 + 2s));
    CHECK_FALSE(l.serves("m", "num_ctx=4096\x1fother:latest", true, t0 + 2s));
}

TEST_CASE("pairs that push each other out are known either way round")
{
    ledger l;
    l.keep_apart("b", "a");
    CHECK(l.apart("a", "b"));
    CHECK(l.apart("b", "a"));
    CHECK_FALSE(l.apart("a", "c"));
}

// An Ollama as far as a ledger can see it: what is loaded, and what its listings say. Everything
// that happens is told to the ledger late, or in another order, or not at all; once it is quiet,
// one good listing makes the two agree.
TEST_CASE("whatever the order of notes, listings, failures and time, it converges to the truth")
{
    std::mt19937 random(3);
    for (int round = 0; round < 300; ++round) {
        ledger l;
        std::map<std::string, std::uint64_t> truth;
        auto now = t0;
        struct listing {
            std::vector<loaded_model> shown;
            instant asked;
        };
        std::vector<listing> on_the_way;
        std::map<std::string, std::size_t> out;
        auto list = [&] {
            listing got{{}, now};
            for (const auto& [name, size] : truth)
                got.shown.push_back(shows(name, size));
            return got;
        };
        for (int step = 0; step < 200; ++step) {
            now += std::chrono::milliseconds(1 + random() % 400);
            std::string m(1, char('a' + random() % 4));
            switch (random() % 9) {
                case 0:
                    l.load_begins(m, "", now);
                    now += std::chrono::milliseconds(random() % 300);
                    if (random() % 4 != 0)
                        truth[m] = 1 + random() % 9;
                    l.load_ended(m, truth.count(m) != 0, 100ms, now);
                    break;
                case 1: truth.erase(m); break;                // unloaded behind its back
                case 2: truth[m] = 1 + random() % 9; break;   // loaded behind its back
                case 3: on_the_way.push_back(list()); break;  // asked for, not yet here
                case 4:
                    if (!on_the_way.empty()) {
                        auto at = random() % on_the_way.size();
                        l.listed(on_the_way[at].shown, on_the_way[at].asked, now);
                        on_the_way.erase(on_the_way.begin() + std::ptrdiff_t(at));
                    }
                    break;
                case 5: on_the_way.clear(); break;  // none of them came
                case 6:
                    l.call_began(m, now);
                    ++out[m];
                    break;
                case 7:
                    if (out[m] != 0) {
                        --out[m];
                        l.call_ended(m, random() % 5 == 0, 1s, now);
                    }
                    break;
                default: random() % 3 == 0 ? l.upstream_away() : l.unload_asked(m, 1s, now);
            }
            for (const auto& [name, n] : out)
                if (const auto* e = l.find(name))
                    REQUIRE(e->out ==
                            n);  // what runs is the gateway's own count, whatever is listed
        }
        // It grows quiet: calls end, what was unloading has had its time, a listing comes.
        for (auto& [name, n] : out)
            for (; n != 0; --n)
                l.call_ended(name, false, 1s, now);
        for (int look = 0; look < 2; ++look) {
            now += 2s;
            auto last = list();
            l.listed(last.shown, last.asked, now);
        }
        for (std::string name : {"a", "b", "c", "d"}) {
            CAPTURE(round, name);
            CHECK((l.state(name) == model_state::ready) == (truth.count(name) != 0));
            CHECK((l.state(name) == model_state::absent) == (truth.count(name) == 0));
            if (truth.count(name) != 0)
                CHECK(l.find(name)->size_vram == truth[name]);
        }
    }
}
