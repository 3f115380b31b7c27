// What follows a try that failed.
#include "exchange/attempts.hpp"

#include "catch.hpp"

using namespace gateway;
using next = attempts::next;

namespace {

try_end ended(outcome how, int status = 0)
{
    try_end e;
    e.how = how;
    e.status = status;
    return e;
}

const attempts alone("m", {});
const attempts with_fallback("m", {"f"});
constexpr place_set nowhere = 0;
constexpr place_set another = 2;

}  // namespace

TEST_CASE("a failure before the first byte goes to another upstream, then to a fallback, then ends")
{
    for (auto how : {outcome::timed_out, outcome::connect_failed, outcome::upstream_failed,
                     outcome::stuck, outcome::does_not_fit}) {
        CHECK(with_fallback.after(ended(how), another) == next::elsewhere);
        CHECK(with_fallback.after(ended(how), nowhere) == next::fallback);
        CHECK(alone.after(ended(how), nowhere) == next::end);
    }
}

TEST_CASE("nothing follows the first byte, an answer, or an end of the call's own")
{
    auto e = ended(outcome::upstream_failed);
    e.model_bytes = true;
    CHECK(with_fallback.after(e, another) == next::end);
    CHECK(with_fallback.after(ended(outcome::ok), another) == next::end);
    e = ended(outcome::timed_out);
    e.own_limit = true;
    CHECK(with_fallback.after(e, another) == next::end);
    e = ended(outcome::timed_out);
    e.ours = true;
    CHECK(with_fallback.after(e, another) == next::end);
    CHECK(with_fallback.after(ended(outcome::client_gone), another) == next::end);
    CHECK(with_fallback.after(ended(outcome::cancelled), another) == next::end);
}

TEST_CASE("server busy is no failure: the call waits for another turn")
{
    auto e = ended(outcome::upstream_status, 503);
    e.busy = true;
    CHECK(with_fallback.after(e, another) == next::again);
    CHECK(alone.after(e, nowhere) == next::again);
}

TEST_CASE("Ollama's own no is passed on, but for 404, 5xx and what a fallback cannot do")
{
    auto no = [](int status) { return ended(outcome::upstream_status, status); };
    CHECK(with_fallback.after(no(400), another) == next::end);
    CHECK(with_fallback.after(no(404), nowhere) == next::fallback);
    CHECK(with_fallback.after(no(500), nowhere) == next::fallback);
    CHECK(with_fallback.after(no(500), another) == next::elsewhere);
    auto unsupported = no(400);
    unsupported.unsupported = true;
    CHECK(with_fallback.after(unsupported, nowhere) == next::end);  // the client asked for it
    attempts second("m", {"f", "g"});
    second.next_model();
    CHECK(second.after(unsupported, nowhere) == next::fallback);
    CHECK(second.after(no(400), nowhere) == next::end);
}

TEST_CASE("an answer is kept back only while something can follow it")
{
    CHECK(alone.withholds(503, nowhere));  // it may be "server busy"
    CHECK_FALSE(alone.withholds(500, nowhere));
    CHECK_FALSE(alone.withholds(404, nowhere));
    CHECK(alone.withholds(500, another));
    CHECK(with_fallback.withholds(404, nowhere));
    CHECK_FALSE(with_fallback.withholds(400, nowhere));
    attempts second("m", {"f"});
    second.next_model();
    CHECK(second.withholds(400, nowhere));
    CHECK_FALSE(second.withholds(200, nowhere));
}

TEST_CASE("models have their turn in the order of the configuration")
{
    attempts a("m", {"f", "g"});
    CHECK(a.model() == "m");
    CHECK_FALSE(a.substituted());
    a.next_model();
    CHECK(a.model() == "f");
    CHECK(a.substituted());
    a.next_model();
    CHECK_FALSE(a.more_models());
}
