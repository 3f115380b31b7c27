// What an upstream has and holds in VRAM, how long each model has been silent, and what is done
// about one that hangs. Listings are asked for at start, each interval and after every unload; one
// that is slow or fails means unknown, never "gone". *Loaded* never means *running*.
#pragma once

#include "async/gate.hpp"
#include "async/stop.hpp"
#include "models/listing.hpp"
#include "models/silence.hpp"
#include "models/unload_plan.hpp"
#include "proxy-config/config.hpp"
#include "telemetry/metrics.hpp"
#include "upstream/pool.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

namespace gateway {

class models {
public:
    struct surroundings {
        asio::io_context& io;
        upstream_pool& pool;
        std::string upstream;  // its name
        metrics& counted;
        std::function<std::shared_ptr<const config>()> settings;
        // No call of the model may be let in while it is blocked.
        std::function<void(const std::string& model, bool blocked)> block;
    };

    explicit models(surroundings s);
    ~models();

    // Reconciles until close().
    awaitable<void> watch();
    void close();
    // Returns when nothing of it runs any more, or at `deadline`.
    awaitable<void> closed(instant deadline);

    enum class listed : std::uint8_t { yes, no, unknown };
    // Does the upstream have this model (canonical name)? Asks again when it did not.
    awaitable<listed> find(const std::string& model);
    // As far as is known, without asking.
    bool lists(const std::string& model) const { return tags_.count(model) != 0; }
    // Models may have come or gone: the next find() asks.
    void forget_tags() { tags_at_ = instant::min(); }

    enum class condition : std::uint8_t { fine, unloading, stuck };
    condition of(const std::string& model) const;

    struct entry;
    // A call of a model is out. Its destructor notes that the call left, unless it was finished.
    class presence {
    public:
        // `on_silent`: the model is being unloaded, and this call with it.
        presence(models& of, const std::string& model, duration limit,
                 std::function<void()> on_silent);
        ~presence();
        presence(const presence&) = delete;
        presence& operator=(const presence&) = delete;

        void limit(duration d);
        void progressed(instant now);
        void finished(instant now);
        bool timed_out(instant now) const;
        instant look_again(instant now) const;
        duration silent_for(instant now) const;
        // It ended as timed out, its upstream socket is closed. Others of that model make progress:
        // it was only slow, and nothing happens; else the model is unloaded.
        void expired(instant since, instant now);

    private:
        friend class models;
        models& of_;
        entry& model_;
        silence::call_id id_;
        std::function<void()> on_silent_;
        bool out_ = true;
        void out_no_more();
    };

    struct view {
        std::string name;
        std::string state;  // absent, ready, unloading, stuck
        bool loaded = false;
        std::uint64_t size_vram = 0;
        std::string expires_at;
        std::size_t out = 0;  // calls of it at the upstream
        double silence_s = 0;
    };
    std::vector<view> views(instant now) const;
    // Age of the last listing that was understood; none before the first.
    std::optional<duration> listing_age(instant now) const;

    struct unload_note {
        std::string model;
        std::string reason;
        std::string result;
        std::int64_t ms;
        std::string at;
    };
    const std::vector<unload_note>& unloads() const
    {
        return unloads_;
    }  // newest last, at most 100

private:
    entry& of_name(const std::string& model);
    void list_soon(instant now);
    void unload(entry& m, const char* reason);
    awaitable<void> carry_out(entry& m, std::string reason);
    awaitable<void> send_unload(entry& m);
    awaitable<unload_plan::listing> list(const std::string* wanted);
    awaitable<void> probe(entry& m);
    bool tags_older_than(duration d) const;
    awaitable<void> refresh_tags();
    void note(const entry& m, const std::string& reason, const char* result, duration took);

    surroundings with_;
    std::map<std::string, std::unique_ptr<entry>> entries_;  // by canonical name
    std::map<std::string, listed_model> tags_;
    bool tags_known_ = false;
    instant tags_at_ = instant::min();
    std::shared_ptr<event> tags_asked_;  // while they are being asked for
    std::optional<instant> listed_at_;
    instant list_asked_at_ = instant::min();
    std::vector<unload_note> unloads_;
    silence::call_id last_id_ = 0;
    event look_;
    stop closing_;
    gate inside_;
};

}  // namespace gateway
