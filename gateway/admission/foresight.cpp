#include "admission/foresight.hpp"

#include "admission/clients.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <queue>
#include <string_view>
#include <unordered_map>

namespace gateway::queueing {

// The turnstile played to its end: lanes, models and places as they are now, then one grant or one
// end after the other.
class foresight::play {
public:
    play(const stage& as, instant now);
    std::size_t to_the_end(foresight& told);

private:
    struct model {
        std::optional<known_model> known;  // a copy: how many run where, its limits
        duration service{};
        bool has_average = false;
        std::size_t gone_before = 0;  // calls of it that were served
    };
    struct lane {
        const model_lane* of = nullptr;
        model_lane::queue::const_iterator next;
        std::size_t left = 0;
        std::size_t model = 0;
        outlook will;
        std::vector<std::size_t> in_place_of;
        place_set held = 0;  // its room there is needed by another
        std::size_t passed = 0;
        duration due = duration::max();  // passed over to the bound

        const guest& head() const { return *next->second; }
    };
    struct at_work {
        duration until;
        place_id at;
        unsigned charged;
        std::size_t model;
        bool operator>(const at_work& other) const { return until > other.until; }
    };

    std::size_t named(const known_model* known, std::string_view name);
    void read_running(instant now);
    void expect_services();
    place_set open_to(const lane& l) const
    {
        return l.will.ready & ~l.held & ~l.of->key->barred & places_.open();
    }
    place_set may_start(const lane& l) const
    {
        return open_to(l) & ~models_[l.model].known->full();
    }
    static bool one_of(const std::vector<std::size_t>& some, std::size_t m)
    {
        return std::find(some.begin(), some.end(), m) != some.end();
    }
    bool is_due(const lane& l) const { return l.passed >= l.will.most_passed || time_ >= l.due; }
    bool wanted(const lane& by) const;
    bool idle(const lane& by) const;
    bool make_way();
    void comes_in(lane& l);
    lane* first(place_set kept);
    std::optional<place_id> choose(const guest& g, place_set among) const;
    bool serve_one(foresight& told);
    void start(lane& l, place_id p, foresight& told);
    void note_passed(const lane& by, const guest& g);
    void tell_next(lane& l, foresight& told);

    const stage& as_;
    places places_;
    std::vector<model> models_;
    std::unordered_map<std::string_view, std::size_t> by_name_;
    std::vector<lane> lanes_;
    std::vector<lane*> shut_;
    std::priority_queue<at_work, std::vector<at_work>, std::greater<>> running_;
    duration time_{};
    ahead all_;
};

foresight::play::play(const stage& as, instant now) : as_(as), places_(as.all)
{
    std::vector<waiting_lane> asked;
    for (const auto* l : as.lanes.busy()) {
        if (l->calls.empty())
            continue;
        lane one;
        one.of = l;
        one.next = l->calls.begin();
        one.left = l->calls.size();
        one.model = named(l->model, *l->model->name);
        one.passed = l->passed;
        lanes_.push_back(std::move(one));
        asked.push_back({l->key, l->passed, l->passed_since});
    }
    auto said = as.at.outlooks(asked, now);
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        auto& l = lanes_[i];
        l.will = std::move(said[i]);
        for (const auto& name : l.will.in_place_of)
            l.in_place_of.push_back(named(nullptr, name));
        if (l.passed > 0)
            l.due = std::max(duration::zero(), l.will.longest_passed - l.will.passed_for);
    }
    read_running(now);
}

std::size_t foresight::play::named(const known_model* known, std::string_view name)
{
    const auto [at, is_new] = by_name_.try_emplace(name, models_.size());
    if (is_new)
        models_.emplace_back();
    auto& m = models_[at->second];
    if (known && !m.known) {
        m.known = *known;
        m.has_average = known->service.known();
        m.service = known->service.value();
    }
    return at->second;
}

void foresight::play::read_running(instant now)
{
    for (const auto& [ticket, r] : as_.running) {
        if (!r.errand())
            named(r.lane->model, *r.lane->model->name);
    }
    expect_services();
    for (const auto& [ticket, r] : as_.running) {
        if (r.errand())
            continue;
        const auto m = named(r.lane->model, *r.lane->model->name);
        const auto left = std::max(models_[m].service - (now - r.started), duration::zero());
        running_.push({left, r.at, r.charged, m});
    }
}

// A model that nothing is known of takes as long as the others do on average; when nothing is known
// of any, no time: then only the number of passes counts.
void foresight::play::expect_services()
{
    duration sum{};
    duration::rep n = 0;
    for (const auto& m : models_) {
        if (m.has_average) {
            sum += m.service;
            ++n;
        }
    }
    for (auto& m : models_) {
        if (!m.has_average && n > 0)
            m.service = sum / n;
    }
}

// Does somebody wait for a model that would have to leave for it?
bool foresight::play::wanted(const lane& by) const
{
    return std::any_of(lanes_.begin(), lanes_.end(), [&](const lane& l) {
        return &l != &by && l.left > 0 && (l.will.ready >> by.will.at & 1) != 0 &&
               one_of(by.in_place_of, l.model);
    });
}

bool foresight::play::idle(const lane& by) const
{
    return std::all_of(by.in_place_of.begin(), by.in_place_of.end(), [&](std::size_t m) {
        return !models_[m].known || models_[m].known->running(by.will.at) == 0;
    });
}

// Loads that would begin now, and room that is made for them. True when something has come in.
bool foresight::play::make_way()
{
    shut_.clear();
    for (auto& l : lanes_) {
        l.held = 0;
        if (l.left > 0 && open_to(l) == 0)
            shut_.push_back(&l);
    }
    if (shut_.empty())
        return false;
    std::sort(shut_.begin(), shut_.end(), [&](const lane* a, const lane* b) {
        return is_due(*a) != is_due(*b) ? is_due(*a) : a->head().where < b->head().where;
    });
    place_set taken = 0;
    for (auto* l : shut_) {
        const auto here = place_set{1} << l->will.at;
        if ((taken & here) != 0 || (places_.open() & here) == 0)
            continue;
        if (l->will.comes) {
            comes_in(*l);
            return true;
        }
        if (l->in_place_of.empty())
            continue;
        const bool due = is_due(*l);
        const bool missed = wanted(*l);
        if (missed && (!due || (!l->will.beside && l->will.owed > 0)))
            continue;
        if (l->will.beside || idle(*l)) {
            comes_in(*l);
            return true;
        }
        if (!due)
            continue;
        for (auto& other : lanes_) {
            if (one_of(l->in_place_of, other.model))
                other.held |= here;
        }
        taken |= here;
    }
    return false;
}

void foresight::play::comes_in(lane& l)
{
    const auto p = l.will.at;
    const auto here = place_set{1} << p;
    const auto gone = l.will.beside ? std::vector<std::size_t>() : l.in_place_of;
    std::size_t waiting = 0;
    for (auto& other : lanes_) {
        if (other.model == l.model)
            waiting += other.left;
        if (other.model == l.model && other.of->key->options == l.of->key->options) {
            other.will.ready |= here;
        } else if (one_of(gone, other.model) && (other.will.ready & here) != 0) {
            other.will.ready &= ~here;
            other.will.at = p;
            other.will.comes = other.will.beside = false;
            other.in_place_of = {l.model};
        }
    }
    l.will.comes = false;
    if (gone.empty())
        return;
    // Who would have put out what is gone now puts out what is there instead.
    for (auto& other : lanes_) {
        if (other.will.at != p || (other.will.ready & here) != 0 || other.will.comes)
            continue;
        const auto before = other.in_place_of.size();
        std::erase_if(other.in_place_of, [&](std::size_t m) { return one_of(gone, m); });
        if (before != other.in_place_of.size() && !one_of(other.in_place_of, l.model))
            other.in_place_of.push_back(l.model);
        other.will.owed = std::min(other.will.owed_after_swap, waiting);
    }
}

foresight::play::lane* foresight::play::first(place_set kept)
{
    lane* found = nullptr;
    for (auto& l : lanes_) {
        if (l.left > 0 && (may_start(l) & ~kept) != 0 &&
            (!found || l.head().where < found->head().where))
            found = &l;
    }
    return found;
}

std::optional<place_id> foresight::play::choose(const guest& g, place_set among) const
{
    place_set fit = 0;
    for_each_place(among, [&](place_id p) {
        if (places_.fits(g.weight, p))
            fit |= place_set{1} << p;
    });
    if (fit == 0)
        return std::nullopt;
    if (!std::has_single_bit(fit)) {
        const auto before = as_.before.last(g.client->hash, g.lane->model->hash);
        if (before && (fit >> *before & 1) != 0)
            return before;
    }
    return places_.least_busy(fit);
}

// As turnstile::next.
bool foresight::play::serve_one(foresight& told)
{
    if (places_.all_full())
        return false;
    place_set kept = 0;
    while (auto* l = first(kept)) {
        const auto may = may_start(*l);
        if (const auto p = choose(l->head(), may & ~kept)) {
            start(*l, *p, told);
            return true;
        }
        kept |= may;
    }
    return false;
}

void foresight::play::start(lane& l, place_id p, foresight& told)
{
    const auto& g = l.head();
    auto& m = models_[l.model];
    const auto charged = places_.charge(g.weight, p);
    places_.take(p, charged);
    m.known->began(p);
    running_.push({time_ + m.service, p, charged, l.model});
    l.passed = 0;
    l.due = duration::max();
    note_passed(l, g);
    for (auto* other : shut_) {
        if (other->will.owed > 0 && other->will.at == p && one_of(other->in_place_of, l.model))
            --other->will.owed;
    }
    tell_next(l, told);
}

void foresight::play::note_passed(const lane& by, const guest& g)
{
    for (auto& l : lanes_) {
        if (&l == &by || l.left == 0 || open_to(l) != 0 || !(l.head().where < g.where))
            continue;
        if (l.passed++ == 0)
            l.due = time_ + l.will.longest_passed;
    }
}

void foresight::play::tell_next(lane& l, foresight& told)
{
    auto& g = *l.next->second;
    auto& m = models_[l.model];
    all_.own_model = m.gone_before++;
    told.tell(g, all_);
    const auto permits = static_cast<double>(places_.turns(g.weight));
    all_.permits += permits;
    all_.work += permits * static_cast<double>(m.service.count());
    all_.known = all_.known && m.has_average;
    ++l.next;
    --l.left;
}

std::size_t foresight::play::to_the_end(foresight& told)
{
    std::size_t steps = running_.size();
    for (;; ++steps) {
        for (std::size_t n = 0; n <= lanes_.size() && make_way(); ++n)
            ++steps;
        if (serve_one(told))
            continue;
        if (running_.empty())
            break;
        const auto ends = running_.top();
        running_.pop();
        time_ = std::max(time_, ends.until);
        places_.give_back(ends.at, ends.charged);
        models_[ends.model].known->ended(ends.at);
    }
    // Nobody can say when these will go.
    for (;; ++steps) {
        lane* next = nullptr;
        for (auto& l : lanes_) {
            if (l.left > 0 && (!next || l.head().where < next->head().where))
                next = &l;
        }
        if (!next)
            break;
        tell_next(*next, told);
    }
    return steps * (lanes_.size() + 1);
}

std::size_t foresight::look(const stage& as, instant now)
{
    ++look_;
    order_.clear();
    there_.clear();
    play all(as, now);
    return all.to_the_end(*this);
}

void foresight::tell(guest& g, const ahead& before)
{
    g.foreseen_by = look_;
    g.foreseen = order_.size();
    order_.push_back(before);
    // there_[i]: how many of the last lowbit(i + 1) up to i are there.
    const auto n = order_.size();
    const auto from = n & (n - 1);
    there_.push_back(still_there(n - 1) - still_there(from) + 1);
}

std::size_t foresight::still_there(std::size_t n) const
{
    std::size_t sum = 0;
    for (; n > 0; n &= n - 1)
        sum += there_[n - 1];
    return sum;
}

std::size_t foresight::position(guest& g)
{
    if (g.foreseen_by != look_)
        tell(g, order_.empty() ? ahead() : order_.back());
    return still_there(g.foreseen) + 1;
}

ahead foresight::before(guest& g)
{
    const auto here = position(g);
    auto found = order_[g.foreseen];
    if (here - 1 < g.foreseen) {  // some have gone since
        const auto part = static_cast<double>(here - 1) / static_cast<double>(g.foreseen);
        found.permits *= part;
        found.work *= part;
        found.own_model = std::min(found.own_model, here - 1);
    }
    return found;
}

void foresight::gone(guest& g)
{
    if (look_ == 0 || g.foreseen_by != look_)
        return;
    g.foreseen_by = 0;
    for (auto n = g.foreseen + 1; n <= there_.size(); n += n & (~n + 1))
        --there_[n - 1];
}

}  // namespace gateway::queueing
