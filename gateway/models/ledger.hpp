// What one upstream holds: every model's state there, told by the gateway's own loads, calls and
// unloads, and corrected by listings of /api/ps (SPEC §7). *Loaded* never means *running*, and no
// answer never means *gone*. Pure: time is an argument.
//
// Models are known by the name of their runner: Ollama keeps one runner per blob, so aliases are
// one entry (fleet.hpp says which name stands for them).
#pragma once

#include "base/clock.hpp"
#include "models/listing.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

enum class model_state : std::uint8_t { absent, loading, ready, unloading, stuck };
std::string_view word(model_state s);

class ledger {
public:
    struct entry {
        model_state at = model_state::absent;
        std::string options;             // what its runner was loaded with (lane_key::options)
        bool foreign = false;            // loaded by somebody else: its options are not known
        bool sure = true;                // no: the upstream was away meanwhile, it may have gone
        std::uint64_t size_vram = 0;     // bytes, as /api/ps last said
        std::uint64_t context = 0;       // num_ctx it really has, likewise
        std::string expires_at;          // likewise, as text
        std::optional<instant> expires;  // known since its last call ended; only while idle
        bool leaves = false;  // a client asked for its unload: it goes when its calls have ended
        duration shortest = duration::max();  // keep_alive of its calls since it was last idle
        instant may_go = instant::max();      // by that it may go, until a listing says when
        instant changed{};                    // when its state last changed here
        instant last_used{};
        std::size_t out = 0;    // calls of it at the upstream
        std::size_t calls = 0;  // calls of it that went out since it was loaded
        std::optional<duration> last_load;
        instant loaded_at{};        // by a load of the gateway's own
        instant unloading_until{};  // a call asked for it (keep_alive 0): if it is still there
                                    // then, somebody has taken it back
    };

    // --- what the gateway does ---

    void load_begins(const std::string& model, const std::string& options, instant now);
    // Not ok: it is absent again. `took` counts when it is.
    void load_ended(const std::string& model, bool ok, duration took, instant now);
    // Its load, or a call of it that is about to end, came with a keep_alive of its own: once idle
    // it may go after that long, and no listing need have said so. duration::max(): for ever.
    void keeps_its_own_time(const std::string& model, duration keep_alive, instant now)
    {
        keeps_its_own_time(all_[model], keep_alive, now);
    }
    static void keeps_its_own_time(entry& e, duration keep_alive, instant now);
    // A call of it was sent; and has ended, this way or that. `unloads`: it asked to unload the
    // model after it (keep_alive 0).
    // The entry stays where it is until the call has ended.
    entry& call_began(const std::string& model, instant now);
    void call_ended(const std::string& model, bool unloads, duration verify_within, instant now)
    {
        call_ended(all_[model], unloads, verify_within, now);
    }
    void call_ended(entry& e, bool unloads, duration verify_within, instant now);
    // It answers: so it is there, whatever was thought.
    void answers(const std::string& model, const std::string& options, instant now);
    // A client asked for its unload.
    void unload_asked(const std::string& model, duration verify_within, instant now)
    {
        unload_asked(all_[model], verify_within, now);
    }
    // The ladder of unload_plan.hpp: begun, and how it ended.
    void unload_begins(const std::string& model, instant now);
    void gone(const std::string& model, instant now);
    void is_stuck(const std::string& model, instant now);

    // --- what the upstream says ---

    struct drift {
        unsigned appeared = 0;          // loaded by somebody else
        unsigned vanished = 0;          // gone before its time
        unsigned reloaded = 0;          // by somebody else, with other options
        std::vector<std::string> gone;  // those that vanished
    };
    // A listing of /api/ps that was asked for at `asked` and came at `now`; its names are runners'
    // names. What has changed here since it was asked is not corrected by it.
    drift listed(const std::vector<loaded_model>& shown, instant asked, instant now);
    // It does not answer: what is ready there may be gone when it comes back.
    void upstream_away();

    // --- what follows ---

    const entry* find(std::string_view model) const;
    model_state state(std::string_view model) const;
    // Would a call that wishes for these options run on what is loaded now, without Ollama's
    // loading anything? `reuse`: a larger context serves it too.
    bool serves(std::string_view model, const std::string& options, bool reuse, instant now) const;
    // The same of an entry.
    static bool serves(const entry& e, const std::string& options, bool reuse, instant now);

    // VRAM that a model took when it was loaded with these options; 0: never measured here.
    std::uint64_t measured(std::string_view model, const std::string& options) const;
    // Loaded together and one pushed the other out: not to be together again. Learned by whoever
    // plans loads, kept here.
    void keep_apart(const std::string& a, const std::string& b);
    bool apart(const std::string& a, const std::string& b) const;

    const std::map<std::string, entry, std::less<>>& all() const { return all_; }
    // Drops what is absent, not out, and for which `keep` says no.
    template <class Keep>
    void forget_absent(Keep keep)
    {
        newest_ = nullptr;
        std::erase_if(all_, [&](const auto& e) {
            return e.second.at == model_state::absent && e.second.out == 0 && !e.second.last_load &&
                   !keep(e.first);
        });
    }

private:
    void change(entry& e, model_state to, instant now);
    void unload_asked(entry& e, duration verify_within, instant now);

    std::map<std::string, entry, std::less<>> all_;
    // The one found last: a call asks for its model again and again.
    mutable const std::pair<const std::string, entry>* newest_ = nullptr;
    std::map<std::pair<std::string, std::string>, std::uint64_t> sizes_;  // model, options
    std::set<std::pair<std::string, std::string>> apart_;
};

}  // namespace gateway
