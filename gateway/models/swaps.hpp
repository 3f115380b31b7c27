// What is loaded and unloaded next, and for whom: the order that saves swaps within the bounds of
// SPEC §5, and room in VRAM by SPEC §7. Pure: it is given everything as it stands, and says what to
// do. Nothing here evicts a model under a running call.
#pragma once

#include "admission/turnstile.hpp"
#include "base/clock.hpp"
#include "models/ledger.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gateway {

namespace swaps {

// A call whose model is ready goes before one that would force a load, until that one has been
// passed so often, or for so long plus its model's last load; and after a swap so many go before
// the next (SPEC §5).
inline constexpr std::size_t most_passed = 8;
inline constexpr duration longest_passed = std::chrono::seconds(15);
inline constexpr std::size_t owed_after_swap = 8;

struct resident {
    std::string model;
    model_state at = model_state::ready;
    std::uint64_t size = 0;  // VRAM, bytes; 0: not known yet
    std::size_t out = 0;     // calls of it at the upstream, permits granted for it included
    std::size_t wanted = 0;  // visitors that wait and would be served by it as it is
    instant last_used{};
};

struct site_view {
    bool up = true;
    bool occupied = false;                // a load is out, or a call that goes directly
    std::optional<std::uint64_t> budget;  // `vram`
    std::vector<resident> residents;
    std::size_t in_use = 0;  // permits
    std::size_t capacity = 0;
    std::string swapped_in;  // the model of the last swap, and how many of its
    std::size_t owed = 0;    // waiting calls still go before the next
    std::function<bool(const std::string&, const std::string&)> apart;
};

struct candidate {
    lane_key lane;
    std::size_t waiting = 0;
    bool impatient = false;  // passed over to the bound
    place_set served = 0;    // places whose door is open to it, or would be but for a hold
    place_set coming = 0;    // places where it is being loaded
    bool full = false;       // at each place that serves it all permits are out
    std::optional<place_id> last_served;
    std::vector<std::uint64_t> need;  // per place: VRAM it takes, as far as is known
};

enum class step : std::uint8_t {
    load,    // now
    unload,  // this model, idle, to make room for the lane
    hold,    // no new permits for this model: its place is needed by the lane
};

struct action {
    step what;
    place_id place = 0;
    std::string model;  // what is loaded, unloaded or held
    lane_key lane;      // for whom
    bool swap = false;  // of a load: something was or may be pushed out for it
    bool operator==(const action&) const = default;
};

// `lanes` in the order of their turns.
std::vector<action> decide(const std::vector<site_view>& sites,
                           const std::vector<candidate>& lanes);

// How a lane would come to its model, for who foresees an order: `sites` as they will be when the
// loads and unloads that are under way are over. The passes and their bound are not told here.
outlook foresee(const std::vector<site_view>& sites, const candidate& lane);

// When a passed-over lane becomes impatient: time in loads does not count.
class patience {
public:
    // `loading`: for how long loads have been out altogether, until now. To be told of each lane
    // that waits, at each look; lanes not told of are forgotten by end_look().
    bool impatient(const turnstile::lane_view& lane, duration last_load, duration loading,
                   instant now);
    // For how long it has been passed over, but for loads; the bound of that.
    duration passed_for(const waiting_lane& lane, duration loading, instant now) const;
    static duration bound(duration last_load) { return longest_passed + last_load; }
    // The earliest time at which some lane may become impatient; instant::max() when none.
    instant look_again() const { return next_; }
    void begin_look() { next_ = instant::max(); }
    void end_look();

private:
    struct mark {
        instant since;
        duration loading;  // at that time
        bool seen = false;
    };
    std::map<lane_key, mark> marks_;
    instant next_ = instant::max();
};

}  // namespace swaps

}  // namespace gateway
