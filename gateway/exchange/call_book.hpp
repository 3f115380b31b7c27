// Which calls there are, and which there were in the last hour: what can be asked about a call
// while it waits, runs, and after. The calls themselves stand in their coroutines; here is where
// they are found.
#pragma once

#include "base/clock.hpp"
#include "call/queue_status.hpp"
#include "telemetry/record.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

class live_call;

// A call as it stands now, or as it ended.
struct call_view {
    std::string id;
    std::string client;
    std::string owner;  // the name of the key it came with: nobody else's business; empty: none
    endpoint where = endpoint::other;
    std::string model;
    std::string upstream;
    phase now = phase::waiting;
    double age_s = 0;
    std::int64_t waited_ms = 0;
    std::optional<std::size_t> position;  // while it waits for its turn
    std::size_t queue_length = 0;
    std::optional<std::int64_t> eta_ms;
    std::uint64_t chunks = 0;
    std::optional<outcome> how;  // once it is over
    std::vector<attempt> attempts;
};

class call_book {
public:
    // What a live call has of the book's own: it is found through it.
    class entry {
    public:
        explicit entry(const std::string& id) : id_(id), hash_(std::hash<std::string_view>()(id)) {}
        const std::string& id() const { return id_; }

    private:
        friend class call_book;
        const std::string& id_;
        std::size_t hash_;
        std::size_t place_ = 0;
        bool found_ = false;
    };

    call_book();
    // `c` is found under its id until leave(); a second live call of the same id is not found.
    void enter(live_call& c);
    // It has ended: where its record is to be written, over all of another's.
    call_record& leave(live_call& c, instant now);

    live_call* find(std::string_view id) const;
    std::optional<call_view> view(std::string_view id, instant now) const;
    std::vector<call_view> live(instant now) const;
    const std::vector<live_call*>& all() const { return all_; }
    std::size_t size() const { return all_.size(); }

    // Finished calls, newest first: at most `most` that ended before `cursor` (0: from the newest).
    // Ids are the clients' own and may stand there twice, so a cursor counts what has ended.
    struct recent_page {
        std::vector<const call_record*> calls;
        std::uint64_t cursor = 0;  // of the next page; 0: there is none
    };
    recent_page recent(std::size_t most, std::uint64_t cursor) const;

private:
    struct finished {
        instant at;
        call_record record;
    };
    // The newest is 0; null when there are not so many, or it ended too long ago.
    const finished* back(std::size_t n, instant now) const;

    static constexpr auto kept_for = std::chrono::hours(1);
    static constexpr std::size_t most_kept = 20'000;

    std::vector<live_call*> all_;
    // By the hashes of their ids, flat: the way down a tree of many calls leads through memory that
    // has been touched by nobody for as long. Of two with one hash the first is found.
    boost::unordered_flat_map<std::size_t, live_call*> by_hash_;
    // A ring whose records are written over, not freed, and never moved: a busy gateway ends
    // thousands a second.
    // Found by scanning the hashes of their ids, which stand together.
    std::vector<finished> ended_;
    std::vector<std::size_t> ids_;
    std::size_t next_ = 0;
    std::uint64_t total_ = 0;  // calls that have ended
};

}  // namespace gateway
