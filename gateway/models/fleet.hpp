// All upstreams together: which of them has a model, which of them would take a call now (the doors
// of the turnstiles), and what is loaded and unloaded next, for whom. swaps.hpp decides; here the
// facts are gathered and the decisions given to the upstreams' own rooms.
#pragma once

#include "async/alarm.hpp"
#include "async/ready_set.hpp"
#include "call/call.hpp"
#include "models/site.hpp"
#include "models/swaps.hpp"

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace gateway {

class fleet : public doors, public model_news {
public:
    struct surroundings {
        asio::io_context& io;
        metrics& counted;
        std::function<std::shared_ptr<const config>()> settings;
    };
    fleet(surroundings s);
    ~fleet();
    fleet(const fleet&) = delete;
    fleet& operator=(const fleet&) = delete;

    // Once, in the order of the configuration, before anything runs; all outlive it.
    void add(site& s);
    void attach(admission& generations, admission& embeddings);
    // The configuration was read (again): limits, rules, capacities.
    void configured();
    // Opens and shuts its doors. True when that is news, and not the answer to a doubt.
    bool site_is(place_id p, bool up);
    // A connection to it broke under a call: nobody else is sent there before it has been asked
    // whether it is still there. When a server dies, what it has not accepted dies last.
    void doubt(place_id p);
    // No more loads; nothing is waited for any more.
    void close()
    {
        closing_ = true;
        look_.clear();
    }

    std::deque<site*>& sites() { return sites_; }
    const std::deque<site*>& sites() const { return sites_; }
    site& at(place_id p) const { return *sites_[p]; }
    // The first that is up, else the first.
    site& first() const;
    bool any_up() const;
    // Is one up that a call of this lane may go to?
    bool reachable(const lane_key& lane) const;
    // Why none of these is, in words.
    std::string why_down(place_set barred = 0) const;
    // The first place that a call of this lane may go to; else the first.
    site& first_of(const lane_key& lane) const;
    site* named(std::string_view name) const;

    // --- the catalogue of all ---

    struct found {
        catalogue::listed listed = catalogue::listed::unknown;  // yes: by at least one
        place_set missing = 0;                                  // places known not to have it
        std::string runner;                  // the name to ask everything else by
        bool remote = false;                 // it runs on another host, and takes nothing here
        const model_facts* facts = nullptr;  // if known: until the caller next waits
    };
    // Where is this model (canonical name)? Asks those upstreams that did not list it, and for its
    // facts those that do.
    awaitable<found> find(std::string model);
    // The same when nobody has to be asked, as for most calls.
    std::optional<found> find_now(const std::string& model);
    bool lists(const std::string& model) const;
    // Only upstreams that are down list it.
    bool out_of_reach(const std::string& model) const;
    // Models may have come or gone.
    void forget_tags();
    // The load-time options a call wishes for that is made for `model`, of which find() says `f`,
    // as its lane has them.
    std::string options_of(const call& c, const std::string& model, const found& f,
                           bool pinned) const;

    // --- a call that wants a model ---

    // Whether a lane has a chance at all, without waiting: none, or the news that it has not (stuck
    // at every place that is up and that it may go to).
    std::optional<bad_news> hopeless(const lane_key& lane) const;
    // A model that is measured (or whose file is) to be larger than the VRAM of each place that
    // has it.
    bool too_big(const lane_key& lane, std::string_view as) const;
    // The context a call's body must name to be served by what is loaded there; none: as it is.
    std::optional<std::uint64_t> context_to_send(place_id p, const lane_key& lane) const;
    // Whoever waits in a lane: how its load is to be asked for. Forgotten with the last.
    void wishes(const lane_key& lane, models::wish w);

    // The upstream answered "server busy": fewer permits there for a while.
    void busy(place_id p);
    // A call was served there: the next "server busy" is met as the first.
    void served(place_id p);
    // An operator wants it out of VRAM: no new calls, and when none runs it goes. False when no
    // upstream has it loaded.
    bool retire(const std::string& model);

    // --- told by the rooms ---

    place_set open_to(const lane_key& lane) const override;
    std::vector<outlook> outlooks(const std::vector<waiting_lane>& lanes,
                                  instant now) const override;
    void changed() override;
    void learned(place_id p, const std::string& runner) override;
    void in_vain(const std::string& runner, const std::string* options,
                 const bad_news& news) override;
    void load_refused(place_id p, const models::wish& w) override;
    void loaded(place_id p, const std::string& runner, bool pushed_out) override;
    void refused(place_id p, const std::string& why) override;
    void stuck_changed() override;

    unsigned permits(place_id p) const;  // generations, as they are now
    // Is it being loaded at a place where this lane may go?
    bool loading(const lane_key& lane) const;

private:
    struct place_state;
    struct lane_wish {
        models::wish how;
        bool seen = false;
    };

    bool idle() const;
    void think_soon();
    void think();
    void carry_out(const std::vector<swaps::action>& todo);
    std::vector<swaps::site_view> site_views(instant now) const;
    std::vector<swaps::candidate> candidates(instant now);
    // Where it is served and comes, and what it needs; how long its last load took.
    duration look_at_places(swaps::candidate& c, std::string_view as, instant now) const;
    duration spent_loading(instant now) const;
    std::vector<swaps::site_view> sites_to_be(instant now) const;
    bool room_is_made(place_id p) const;
    std::uint64_t need(place_id p, const lane_key& lane, std::string_view as) const;
    bool reuses(const std::string& runner) const;
    bool is_asked(const site& s) const;
    // False when one of those that are asked has not told all of it yet.
    bool gather(const std::string& model, found& f) const;
    found as_known(const std::string& model);
    void same_runner(const std::string& model, const std::string& runner);
    void direct(place_id p, const lane_key& lane);
    void direct_over(place_id p);
    void set_limit(place_id p, const std::string& runner);
    void set_capacities(place_id p);
    void recover(instant now);
    std::size_t out(place_id p, const std::string& runner) const;

    surroundings with_;
    std::deque<site*> sites_;
    std::vector<std::unique_ptr<place_state>> places_;
    admission* generations_ = nullptr;
    admission* embeddings_ = nullptr;
    std::map<lane_key, lane_wish> wishes_;
    swaps::patience patience_;
    std::map<std::string, unsigned, std::less<>> limits_;  // configured, by runner
    std::set<std::string, std::less<>> strict_;            // runners that reuse no larger context
    std::vector<std::pair<lane_key, bad_news>> in_vain_;   // of this look
    const instant began_ = steady::now();
    ready_set::place thinks_;
    bool closing_ = false;
    alarm look_;
};

}  // namespace gateway
