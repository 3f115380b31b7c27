// What one upstream has and holds in VRAM, and whatever is done about it: loads of the gateway's
// own, unloads that are verified, listings at start, each interval and after every event; how long
// each model has been silent, and what follows when it hangs. The ledger (ledger.hpp) says how
// things stand; here it is carried out. A listing that is slow or fails means unknown, never
// "gone".
#pragma once

#include "admission/admission.hpp"
#include "async/gate.hpp"
#include "async/stop.hpp"
#include "models/catalogue.hpp"
#include "models/ledger.hpp"
#include "models/parallel.hpp"
#include "models/silence.hpp"
#include "models/unload_plan.hpp"
#include "proxy-config/config.hpp"
#include "telemetry/metrics.hpp"
#include "upstream/pool.hpp"

#include <boost/intrusive/list.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gateway {

class model_news;

class models {
public:
    struct surroundings {
        asio::io_context& io;
        upstream_pool& pool;
        std::string upstream;  // its name
        place_id place = 0;    // its index in the configuration
        catalogue& names;
        metrics& counted;
        std::function<std::shared_ptr<const config>()> settings;
        model_news& news;
    };

    explicit models(surroundings s);
    ~models();
    models(const models&) = delete;
    models& operator=(const models&) = delete;

    // Reconciles until close().
    awaitable<void> watch();
    void close();
    // Returns when nothing of it runs any more, or at `deadline`.
    awaitable<void> closed(instant deadline);
    // The upstream went away, or is back: what is there is looked at anew.
    void upstream_is(bool up);

    const ledger& book() const { return ledger_; }

    // --- loads ---

    struct wish {
        std::string runner;                // its name in the ledger
        std::string options;               // lane_key::options
        std::string as;                    // the name the call uses
        std::string keep_alive;            // JSON text, or empty: none
        duration keeps = duration::max();  // what that comes to
        bool embedding = false;            // loaded by /api/embed
    };
    // Loads it with a request of the gateway's own. One at a time: not while loading().
    void load(wish w);
    bool loading() const { return loading_since_.has_value(); }
    // Without a budget: this one has just been loaded, and what it has pushed out will be known
    // with the listing that is being asked for. Until then nothing else that seems ready may be so.
    const std::string* settling() const { return settling_ ? &*settling_ : nullptr; }
    // It said "server busy" to a load: none is asked of it before that.
    instant paused_until() const { return busy_until_; }
    // How much of the time since `since` was the model's last load.
    duration load_within(const std::string& runner, instant since) const;
    // For how long loads have been out here altogether.
    duration loading_time(instant now) const;
    // A model was loaded for a lane and has served no call since: it was gone before its first
    // (SPEC §7).
    bool unused_since_load(const std::string& runner) const;

    // --- unloads ---

    // Takes an idle model out of VRAM, and checks. Nothing when that is under way.
    void unload(const std::string& runner, const char* reason);
    // An operator asks for a stuck model's unload: it stays stuck until it is gone, but is told to
    // go once more.
    void unload_again(const std::string& runner);
    // A client has asked Ollama to unload it: it will be gone soon.
    void unload_asked(const std::string& runner);

    // What limits the calls of a model here by its own nature; 0: nothing learned.
    unsigned learned_limit(const std::string& runner) const;

    struct entry;
    // A call of a model is out. Its destructor notes that the call left, unless it was finished.
    class presence : public boost::intrusive::list_base_hook<
                         boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    public:
        struct facts {
            std::string runner;
            std::string options;
            bool unloads = false;                // keep_alive 0
            std::optional<duration> keep_alive;  // another one of its own
            bool streams = true;                 // its first byte says when it began to run
            bool measured = true;  // it is one whose start tells of the upstream's parallelism
        };
        // `on_silent`: the model is being unloaded, and this call with it.
        presence(models& of, facts f, duration limit, std::function<void()> on_silent);
        ~presence();
        presence(const presence&) = delete;
        presence& operator=(const presence&) = delete;

        void limit(duration d);
        void progressed(instant now);
        // The upstream says no: it works, but that is no sign of its model's being there.
        void refused() { began_ = true; }
        // `ran`: by Ollama's own account, when it told.
        void finished(std::optional<duration> ran, instant now);
        bool timed_out(instant now) const;
        instant look_again(instant now) const;
        duration silent_for(instant now) const;
        // It ended as timed out, its upstream socket is closed. Others of that model make progress:
        // it was only slow, and nothing happens; else the model is unloaded.
        void expired(instant since, instant now);

    private:
        friend class models;
        void out_no_more(instant now);

        models& of_;
        entry& model_;
        ledger::entry* book_ = nullptr;  // of the model; while it is out
        facts what_;
        silence::call_id id_;
        std::function<void()> on_silent_;
        bool out_ = true;
        bool began_ = false;
    };

    struct view {
        std::string name;
        model_state state = model_state::absent;
        bool loaded = false;
        std::uint64_t size_vram = 0;
        std::string expires_at;
        std::size_t out = 0;  // calls of it at the upstream
        unsigned learned = 0;
        double silence_s = 0;
    };
    std::vector<view> views(instant now) const;
    // Age of the last listing that was understood; none before the first.
    std::optional<duration> listing_age(instant now) const;
    const ledger::drift& drifted() const { return drift_; }  // since the start

    struct unload_note {
        std::string model;
        std::string reason;
        std::string result;
        std::int64_t ms;
        std::string at;
    };
    // Newest last, at most 100.
    const std::vector<unload_note>& unloads() const { return unloads_; }

private:
    entry& of_name(const std::string& runner);
    void list_soon(instant now);
    bool has_budget() const;
    awaitable<void> carry_load(wish w);
    void load_failed(const wish& w, bad_news news);
    void learn(entry& m, unsigned before);
    awaitable<void> carry_out(entry& m, std::string reason);
    awaitable<void> send_unload(entry& m);
    awaitable<unload_plan::listing> list(const std::string* wanted);
    void apply(std::vector<loaded_model> shown, instant asked);
    awaitable<void> probe(entry& m);
    duration pause() const;
    void note(const entry& m, const std::string& reason, const char* result, duration took);

    surroundings with_;
    ledger ledger_;
    ledger::drift drift_;
    std::map<std::string, std::unique_ptr<entry>> entries_;  // by runner
    entry* newest_ = nullptr;                                // the one last asked for by its name
    std::vector<std::string> shown_;                         // runners in the last listing
    std::vector<std::string> pushed_out_;  // gone before their time since the last load began
    std::optional<instant> listed_at_;
    instant list_asked_at_ = instant::min();
    instant list_by_ = instant::max();  // something has changed: list again by then
    std::optional<instant> loading_since_;
    std::optional<std::string> settling_;
    duration loading_before_{};
    instant busy_until_{};
    std::vector<unload_note> unloads_;
    silence::call_id last_id_ = 0;
    event look_;
    stop closing_;
    gate inside_;
};

// What a call is told that wants a stuck model.
bad_news stuck_news(const std::string& model, place_id place);

// What whoever plans for all upstreams is told (fleet.hpp). Called in the midst of things: only
// notes may be taken.
class model_news {
public:
    // What is ready at a place, or may be loaded there, has changed.
    virtual void changed() = 0;
    // What is learned of a model's parallelism has changed.
    virtual void learned(place_id p, const std::string& runner) = 0;
    // Those who wait for this model wait in vain there; with `options`, only those who wish for
    // them.
    virtual void in_vain(const std::string& runner, const std::string* options,
                         const bad_news& news) = 0;
    // The upstream said no to a load as it would to the call: that one goes itself, alone.
    virtual void load_refused(place_id p, const models::wish& w) = 0;
    // A load ended well. `pushed_out`: told a second time, when others turn out to be gone for it.
    virtual void loaded(place_id p, const std::string& runner, bool pushed_out) = 0;
    // The upstream refused a connection.
    virtual void refused(place_id p, const std::string& why) = 0;
    // A model has become stuck, or is so no longer.
    virtual void stuck_changed() = 0;

protected:
    ~model_news() = default;
};

}  // namespace gateway
