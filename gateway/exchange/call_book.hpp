// Which calls there are, and which there were in the last hour: what can be asked about a call
// while it waits, runs, and after. The calls themselves stand in their coroutines; here is where
// they are found.
#pragma once

#include "base/clock.hpp"
#include "call/queue_status.hpp"
#include "telemetry/record.hpp"

#include <boost/intrusive/set.hpp>

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
    class entry : public boost::intrusive::set_base_hook<
                      boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    public:
        explicit entry(const std::string& id) : id_(id) {}
        const std::string& id() const { return id_; }

    private:
        friend class call_book;
        const std::string& id_;
        std::size_t place_ = 0;
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

    struct by_id {
        using type = std::string;
        const std::string& operator()(const entry& e) const { return e.id(); }
    };

    std::vector<live_call*> all_;
    boost::intrusive::set<entry, boost::intrusive::constant_time_size<false>,
                          boost::intrusive::key_of_value<by_id>>
        by_id_;
    // A ring whose records are written over, not freed, and never moved: a busy gateway ends
    // thousands a second.
    // Found by scanning the hashes of their ids, which stand together.
    std::vector<finished> ended_;
    std::vector<std::size_t> ids_;
    std::size_t next_ = 0;
    std::uint64_t total_ = 0;  // calls that have ended
};

}  // namespace gateway
