// What follows a try that failed: another upstream, another model, or an end (SPEC §7 "Fallbacks").
// Pure.
#pragma once

#include "admission/turnstile.hpp"
#include "call/attempt.hpp"
#include "call/kinds.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// How a try ended, as far as what follows depends on it.
struct try_end {
    outcome how = outcome::ok;
    int status = 0;            // upstream_status
    bool busy = false;         // Ollama's "server busy": nothing was done
    bool unsupported = false;  // "… does not support …"
    bool model_bytes = false;  // the client has had a byte of the model's
    bool own_limit = false;    // timeouts.total: the call's own time is over
    bool ours = false;         // the client left, an operator cancelled it, the gateway stops
};

class attempts {
public:
    // The models to be tried, in order: what the client asked for, then its fallbacks.
    attempts(std::string model, std::vector<std::string> fallbacks);

    const std::string& model() const { return at_ == 0 ? first_ : fallbacks_[at_ - 1]; }
    bool substituted() const { return at_ != 0; }
    bool more_models() const { return at_ < fallbacks_.size(); }

    enum class next : std::uint8_t {
        again,      // the same model, wherever it goes: nothing of the call was done
        elsewhere,  // the same model, at a place where it has not failed
        fallback,   // the next model
        end,
    };
    // `others`: places that have the model and where it has not been tried.
    next after(const try_end& e, place_set others) const;
    // The next model's turn; its places are its own.
    void next_model() { ++at_; }

    // Would an answer with this status be kept from the client, because something can follow it?
    // Those are worth reading whole before anything is passed on.
    bool withholds(int status, place_set others) const;

private:
    std::string first_;
    std::vector<std::string> fallbacks_;
    std::size_t at_ = 0;  // 0: at the first
};

}  // namespace gateway
