// The doors, the catalogue of all, and what the rooms of each upstream tell.
#include "models/fleet.hpp"

#include "base/log.hpp"
#include "call/load_options.hpp"
#include "call/model_name.hpp"
#include "models/place_state.hpp"
#include "models/stuck_file.hpp"

#include <algorithm>

namespace gateway {

using namespace std::chrono_literals;

namespace {

constexpr duration shortest_pause = 250ms;
constexpr duration longest_pause = 8s;

}  // namespace

fleet::fleet(surroundings s)
    : with_(std::move(s)),
      thinks_(ready_set::of(with_.io)),
      look_(with_.io, [this] { think_soon(); })
{
}
fleet::~fleet() = default;

void fleet::add(site& s)
{
    sites_.push_back(&s);
    places_.push_back(std::make_unique<place_state>());
}

void fleet::attach(admission& generations, admission& embeddings)
{
    generations_ = &generations;
    embeddings_ = &embeddings;
    for (auto* a : {generations_, embeddings_}) {
        a->on_change([this] { changed(); });
        a->on_direct_over([this](place_id p) { direct_over(p); });
    }
}

void fleet::configured()
{
    auto settings = with_.settings();
    auto before = std::move(limits_);
    limits_.clear();
    strict_.clear();
    for (const auto& [name, m] : settings->models) {
        // The runner it has is not known before it is called: limits are kept by name too.
        auto canonical = canonical_model(name);
        if (m.max_concurrent != 0)
            limits_[canonical] = m.max_concurrent;
        if (!m.reuse_larger_context)
            strict_.insert(canonical);
    }
    const auto& q = settings->queue;
    turnstile::limits l{q.max_waiting, q.max_waiting_per_client, q.max_wait};
    for (auto* a : {generations_, embeddings_})
        a->set_limits(l);
    for (auto* s : sites_) {
        places_[s->place]->has_budget = settings->upstreams[s->place].vram.has_value();
        set_capacities(s->place);
        for (const auto* some : {&before, &limits_})
            for (const auto& [runner, n] : *some)
                set_limit(s->place, runner);
    }
    think_soon();  // there may be room now for whoever waits
}

void fleet::set_capacities(place_id p)
{
    const auto& up = with_.settings()->upstreams[p];
    auto& s = *places_[p];
    if (s.busy_limit >= up.max_concurrent)
        s.busy_limit = 0;
    generations_->set_capacity(p, s.busy_limit != 0 ? s.busy_limit : up.max_concurrent);
    embeddings_->set_capacity(p, up.max_concurrent_embeddings);
}

void fleet::set_limit(place_id p, const std::string& runner)
{
    auto configured = limits_.find(runner);
    unsigned own = configured == limits_.end() ? 0 : configured->second;
    unsigned learned = sites_[p]->loaded.learned_limit(runner);
    unsigned n = own == 0 ? learned : learned == 0 ? own : std::min(own, learned);
    generations_->limit_model(p, runner, n);
    embeddings_->limit_model(p, runner, own);
}

bool fleet::site_is(place_id p, bool up)
{
    bool changed = std::exchange(places_[p]->up, up) != up;
    for (auto* a : {generations_, embeddings_})
        a->open(p, up);
    if (changed)
        sites_[p]->loaded.upstream_is(up);
    return changed;
}

void fleet::doubt(place_id p)
{
    if (!sites_[p]->health.up())
        return;
    for (auto* a : {generations_, embeddings_})
        a->open(p, false);
    sites_[p]->health.doubt();
}

site& fleet::first() const
{
    for (auto* s : sites_)
        if (s->health.up())
            return *s;
    return *sites_.front();
}

bool fleet::any_up() const
{
    return std::any_of(sites_.begin(), sites_.end(), [](auto* s) { return s->health.up(); });
}

bool fleet::reachable(const lane_key& lane) const
{
    return std::any_of(sites_.begin(), sites_.end(),
                       [&](auto* s) { return s->health.up() && !in(lane.barred, s->place); });
}

site& fleet::first_of(const lane_key& lane) const
{
    for (auto* s : sites_)
        if (!in(lane.barred, s->place))
            return *s;
    return *sites_.front();
}

std::string fleet::why_down(place_set barred) const
{
    std::string all;
    for (const auto* s : sites_) {
        if (s->health.up() || in(barred, s->place))
            continue;
        if (!all.empty())
            all += "; ";
        if (sites_.size() > 1)
            all += s->name + ": ";
        all += s->health.why();
    }
    return all;
}

site* fleet::named(std::string_view name) const
{
    for (auto* s : sites_)
        if (s->name == name)
            return s;
    return nullptr;
}

// --- the catalogue of all ---

awaitable<fleet::found> fleet::find(std::string model)
{
    for (auto* s : sites_)
        if (is_asked(*s) && !s->names.knows(model))
            co_await s->names.find(model);
    co_return as_known(model);
}

std::optional<fleet::found> fleet::find_now(const std::string& model)
{
    found f;
    if (!gather(model, f))
        return std::nullopt;
    same_runner(model, f.runner);
    return f;
}

fleet::found fleet::as_known(const std::string& model)
{
    found f;
    gather(model, f);
    same_runner(model, f.runner);
    return f;
}

// One that is down is believed what it last said.
bool fleet::is_asked(const site& s) const
{
    return s.health.up() || sites_.size() == 1;
}

bool fleet::gather(const std::string& model, found& f) const
{
    using listed = catalogue::listed;
    bool all_know = true;
    bool unknown = false;  // by one that could tell
    bool any_known = false;
    // One that has not been seen yet may be starting too, as after the machine has.
    const auto may_come = [&] {
        return steady::now() - began_ < with_.settings()->queue.hold_upstream;
    };
    for (auto* s : sites_) {
        const auto* here = s->names.look(model);
        bool asked = is_asked(*s);
        bool known = s->names.known();
        all_know = all_know && (!asked || (known && here != nullptr && here->learned));
        if (here != nullptr) {
            f.listed = listed::yes;
            any_known = true;
            if (f.facts == nullptr && here->facts != nullptr) {
                f.facts = here->facts;
                f.runner = *here->runner;
            }
            f.remote = f.remote || (here->facts != nullptr && here->facts->remote);
        } else if (asked && known) {
            any_known = true;
            f.missing |= only(s->place);
        } else {
            unknown = unknown || s->health.up() || (!known && may_come());
        }
    }
    if (f.listed != listed::yes)
        f.listed = unknown || !any_known ? listed::unknown : listed::no;
    if (f.runner.empty())
        f.runner = model;
    return all_know;
}

// What the configuration says of a name holds for its runner, whatever that is known by.
void fleet::same_runner(const std::string& model, const std::string& runner)
{
    if (runner == model)
        return;
    if (strict_.count(model) != 0)
        strict_.insert(runner);
    auto own = limits_.find(model);
    if (own == limits_.end())
        return;
    auto [theirs, is_new] = limits_.try_emplace(runner, own->second);
    if (!is_new && theirs->second <= own->second)
        return;
    theirs->second = own->second;
    for (auto* s : sites_)
        set_limit(s->place, runner);
}

bool fleet::lists(const std::string& model) const
{
    return std::any_of(sites_.begin(), sites_.end(),
                       [&](auto* s) { return s->names.lists(model); });
}

bool fleet::out_of_reach(const std::string& model) const
{
    auto has = [&](bool up) {
        return std::any_of(sites_.begin(), sites_.end(),
                           [&](auto* s) { return s->health.up() == up && s->names.lists(model); });
    };
    return any_up() && has(false) && !has(true);
}

void fleet::forget_tags()
{
    for (auto* s : sites_)
        s->names.forget();
}

std::string fleet::options_of(const call& c, const std::string& model, const found& f,
                              bool pinned) const
{
    std::string text;
    const auto* own = f.facts;
    bool native = c.words == dialect::native && c.where != endpoint::other;
    if (native && !pinned)
        text = load_options::of(
                   c.body, c.facts,
                   own != nullptr ? std::string_view(own->parameters) : std::string_view(),
                   own == nullptr || own->shifts)
                   .text();
    if (own == nullptr || f.runner == model)
        return text;
    // Another name on the same blob may come with other parameters: then it is another runner.
    for (auto* s : sites_)
        if (const auto* theirs = s->names.facts(f.runner))
            if (load_parameters(theirs->parameters) != load_parameters(own->parameters))
                return text + '\x1f' + model;
    return text;
}

// --- a call that wants a model ---

std::optional<bad_news> fleet::hopeless(const lane_key& lane) const
{
    std::optional<bad_news> news;
    for (auto* s : sites_) {
        // One that is down is not waited for when the model hangs wherever one is up.
        if (in(lane.barred, s->place) || !s->health.up())
            continue;
        if (s->loaded.book().state(lane.model) != model_state::stuck)
            return std::nullopt;
        news = stuck_news(lane.model, s->place);
    }
    return news;
}

std::uint64_t fleet::need(place_id p, const lane_key& lane, std::string_view as) const
{
    const auto& s = *sites_[p];
    if (auto measured = s.loaded.book().measured(lane.model, lane.options))
        return measured;
    auto name = s.names.lists(as) ? as : std::string_view(lane.model);
    const auto* facts = s.names.facts(name);
    auto file = s.names.file_size(name);
    auto context = load_options::read(lane.options.substr(0, lane.options.find('\x1f'))).num_ctx();
    return facts != nullptr ? estimated_vram(*facts, file, context.value_or(4096), 1) : file;
}

bool fleet::too_big(const lane_key& lane, std::string_view as) const
{
    auto settings = with_.settings();
    for (auto* s : sites_) {
        if (in(lane.barred, s->place))
            continue;
        const auto& budget = settings->upstreams[s->place].vram;
        // Only what was measured, or a file that cannot fit: an estimate refuses nobody.
        auto least =
            std::max(s->loaded.book().measured(lane.model, lane.options), s->names.file_size(as));
        if (!budget || least <= *budget)
            return false;
    }
    return true;
}

bool fleet::reuses(const std::string& runner) const
{
    return strict_.find(runner) == strict_.end();
}

std::optional<std::uint64_t> fleet::context_to_send(place_id p, const lane_key& lane) const
{
    const auto* e = sites_[p]->loaded.book().find(lane.model);
    if (e == nullptr || e->foreign || e->at != model_state::ready || e->options == lane.options ||
        !ledger::serves(*e, lane.options, reuses(lane.model), steady::now()))
        return std::nullopt;
    return load_options::read(e->options).num_ctx().value_or(0);
}

void fleet::wishes(const lane_key& lane, models::wish w)
{
    wishes_.try_emplace(lane, lane_wish{std::move(w), true});
}

void fleet::direct_over(place_id p)
{
    places_[p]->direct_out = false;
    think_soon();
}

void fleet::busy(place_id p)
{
    auto now = steady::now();
    auto& s = *places_[p];
    auto in_use = generations_->view().in_use(p);
    s.busy_limit = std::max(1u, in_use > 1 ? in_use - 1 : 1);
    s.recovers_at = now + recovers_every;
    s.pause = std::clamp(s.pause * 2, shortest_pause, longest_pause);
    s.paused_until = now + s.pause;
    set_capacities(p);
    log::warn("the upstream says that it is busy: fewer calls at once for a while",
              {{"upstream", sites_[p]->name}, {"permits", permits(p)}});
    think_soon();
}

void fleet::served(place_id p)
{
    places_[p]->pause = {};
}

bool fleet::retire(const std::string& model)
{
    bool any = false;
    for (auto* s : sites_) {
        auto runner = s->names.runner_of(model);
        auto at = s->loaded.book().state(runner);
        if (at == model_state::absent)
            continue;
        any = true;
        if (at == model_state::ready || at == model_state::loading)
            places_[s->place]->retiring.insert(runner);
        else if (at == model_state::stuck)
            s->loaded.unload_again(runner);
    }
    think_soon();
    return any;
}

unsigned fleet::permits(place_id p) const
{
    return generations_->view().capacity(p);
}

bool fleet::loading(const lane_key& lane) const
{
    return std::any_of(sites_.begin(), sites_.end(), [&](auto* s) {
        const auto* e = s->loaded.book().find(lane.model);
        return !in(lane.barred, s->place) && e != nullptr && e->at == model_state::loading &&
               (e->options == lane.options || reuses(lane.model));
    });
}

// --- the doors ---

place_set fleet::open_to(const lane_key& lane) const
{
    place_set open = 0;
    auto now = steady::now();
    for (place_id p = 0; p < places_.size(); ++p) {
        const auto& s = *places_[p];
        if (in(lane.barred, p) || !s.up || s.direct_out || now < s.paused_until)
            continue;
        const auto& room = sites_[p]->loaded;
        // Without a budget a load may push anything out: nothing else begins meanwhile.
        if (room.loading() && !s.has_budget)
            continue;
        if (room.settling() != nullptr && *room.settling() != lane.model)
            continue;
        if (!s.held.empty() && s.held.count(lane.model) != 0)
            continue;
        if (!s.retiring.empty() && s.retiring.count(lane.model) != 0)
            continue;
        if (room.book().serves(lane.model, lane.options, reuses(lane.model), now))
            open |= only(p);
    }
    return open;
}

// --- told by the rooms ---

void fleet::learned(place_id p, const std::string& runner)
{
    set_limit(p, runner);
    think_soon();
}

void fleet::in_vain(const std::string& runner, const std::string* options, const bad_news& news)
{
    for (auto* a : {generations_, embeddings_}) {
        std::vector<lane_key> lanes;
        for (const auto& l : a->view().lanes())
            if (l.lane->model == runner && (options == nullptr || l.lane->options == *options) &&
                !in(l.lane->barred, news.place))
                lanes.push_back(*l.lane);
        for (const auto& l : lanes)
            a->tell(l, news);
    }
}

void fleet::load_refused(place_id p, const models::wish& w)
{
    for (const auto& [lane, wish] : wishes_)
        if (lane.model == w.runner && lane.options == w.options && !in(lane.barred, p))
            places_[p]->direct_lanes.insert(lane);
}

void fleet::loaded(place_id p, const std::string& runner, bool pushed_out)
{
    auto& s = *places_[p];
    if (!s.load_swaps && !pushed_out)
        return;
    const auto* e = sites_[p]->loaded.book().find(runner);
    auto waiting = generations_->view().waiting(runner) + embeddings_->view().waiting(runner);
    s.swapped_in = runner;
    s.owed_until = (e != nullptr ? e->calls : 0) + std::min(waiting, swaps::owed_after_swap);
    s.load_swaps = false;
}

void fleet::refused(place_id p, const std::string& why)
{
    sites_[p]->health.refused(why);
}

void fleet::stuck_changed()
{
    std::vector<stuck_model> all;
    for (const auto* s : sites_)
        for (const auto& [name, e] : s->loaded.book().all())
            if (e.at == model_state::stuck)
                all.push_back({s->name, name});
    if (const auto& file = with_.settings()->unload.stuck_file)
        write_stuck_file(*file, all);
}

}  // namespace gateway
