// The tokens of a run: their text and their times.
#pragma once

#include <string>

#include "bench/sim/connection.hpp"
#include "bench/sim/job.hpp"

namespace sim {

// Sends tokens at their times, no faster than the client's socket takes them.
class token_stream final : public paced {
public:
    token_stream(connection& c, const job& j, double rate);
    ~token_stream();
    token_stream(const token_stream&) = delete;
    token_stream& operator=(const token_stream&) = delete;

    // Streams on until `upto` tokens have been sent in all; wakes the connection then.
    void go(int upto);
    bool finished() const { return sent_ >= upto_; }

    void due(instant now) override;

private:
    connection& c_;
    const job& j_;
    double rate_;
    instant started_;
    int upto_ = 0;
    int sent_ = 0;
};

// The text of that many tokens at once; a million at the most.
std::string whole_text(connection& c, const job& j, int tokens);

}  // namespace sim
