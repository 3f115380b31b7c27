#include "bench/sim/token_stream.hpp"

#include <algorithm>
#include <charconv>

namespace sim {

namespace {

constexpr int most_at_once = 1'000'000;

// A fixed-width CLOCK_MONOTONIC nanosecond.
std::string_view stamp(std::array<char, 20>& into)
{
    into.fill('0');
    char digits[20];
    auto end = std::to_chars(digits, digits + sizeof digits,
                             std::chrono::nanoseconds(steady::now().time_since_epoch()).count())
                   .ptr;
    std::copy(digits, end, into.end() - (end - digits));
    return {into.data(), into.size()};
}

}  // namespace

token_stream::token_stream(connection& c, const job& j, double rate)
    : c_(c), j_(j), rate_(rate), started_(steady::now())
{
}

token_stream::~token_stream()
{
    c_.when_drained(nullptr);
    c_.at.pace.cancel(*this);
}

void token_stream::go(int upto)
{
    upto_ = upto;
    c_.when_drained(this);
    due(steady::now());
}

void token_stream::due(instant now)
{
    constexpr int burst = 16;
    for (int n = 0; !finished() && !c_.gone(); ++n) {
        if (c_.blocked()) {
            c_.phase = "blocked";
            return;
        }
        c_.phase = "streaming";
        auto when = rate_ > 0 ? started_ + std::chrono::nanoseconds(
                                               static_cast<std::int64_t>(sent_ * 1e9 / rate_))
                              : now;
        if (when > now + std::chrono::microseconds(250) || n == burst) {
            c_.at.pace.at(when, *this);
            return;
        }
        std::array<char, 20> digits;
        j_.says->piece(c_, c_.at.set.stamp ? stamp(digits) : token_text(j_.seed, sent_));
        ++sent_;
        ++c_.at.seen.tokens;
    }
    c_.wake();
}

std::string whole_text(connection& c, const job& j, int tokens)
{
    std::string text;
    std::array<char, 20> digits;
    tokens = std::min(tokens, most_at_once);
    for (int i = 0; i < tokens; ++i)
        text += c.at.set.stamp ? stamp(digits) : token_text(j.seed, i);
    return text;
}

}  // namespace sim
