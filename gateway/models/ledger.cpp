#include "models/ledger.hpp"

#include "call/load_options.hpp"

#include <algorithm>

namespace gateway {

namespace {

// Ollama counts a keep_alive from the end of a call, which is seen here a little later.
constexpr duration leeway = std::chrono::seconds(1);

void goes_after(ledger::entry& e, instant now)
{
    if (e.out == 0 && e.shortest < instant::max() - now)
        e.may_go = std::min(e.may_go, now + e.shortest);
}

}  // namespace

std::string_view word(model_state s)
{
    switch (s) {
        case model_state::absent: return "absent";
        case model_state::loading: return "loading";
        case model_state::ready: return "ready";
        case model_state::unloading: return "unloading";
        case model_state::stuck: return "stuck";
    }
    return "absent";
}

void ledger::change(entry& e, model_state to, instant now)
{
    e.at = to;
    e.changed = now;
    if (to == model_state::absent) {
        e.size_vram = 0;
        e.context = 0;
        e.expires_at.clear();
        e.expires.reset();
        e.options.clear();
        e.foreign = false;
    }
    e.sure = true;
    e.leaves = false;
    e.shortest = duration::max();
    e.may_go = instant::max();
}

void ledger::load_begins(const std::string& model, const std::string& options, instant now)
{
    auto& e = all_[model];
    change(e, model_state::loading, now);
    e.options = options;
    e.calls = 0;
    e.foreign = false;
    e.size_vram = 0;
    e.context = 0;
    e.expires.reset();
}

void ledger::load_ended(const std::string& model, bool ok, duration took, instant now)
{
    auto& e = all_[model];
    if (e.at != model_state::loading)
        return;
    change(e, ok ? model_state::ready : model_state::absent, now);
    if (ok) {
        e.last_load = took;
        e.loaded_at = now;
        e.last_used = now;
    }
}

void ledger::keeps_its_own_time(entry& e, duration keep_alive, instant now)
{
    e.shortest = std::min(e.shortest, keep_alive);
    goes_after(e, now);
}

ledger::entry& ledger::call_began(const std::string& model, instant now)
{
    auto& e = all_[model];
    if (e.out == 0 && now < e.may_go - leeway) {  // it is there, and its time begins anew after it
        e.shortest = duration::max();
        e.may_go = instant::max();
    }
    ++e.out;
    ++e.calls;
    e.last_used = now;
    return e;
}

void ledger::call_ended(entry& e, bool unloads, duration verify_within, instant now)
{
    if (e.out != 0)
        --e.out;
    e.last_used = now;
    e.expires.reset();  // it is written anew when the runner goes idle
    goes_after(e, now);
    if (unloads || (e.leaves && e.out == 0))
        unload_asked(e, verify_within, now);
}

void ledger::answers(const std::string& model, const std::string& options, instant now)
{
    auto& e = all_[model];
    if (e.at != model_state::absent && !(e.at == model_state::ready && !e.sure))
        return;
    change(e, model_state::ready, now);
    e.options = options;
}

void ledger::unload_asked(entry& e, duration verify_within, instant now)
{
    // Ollama unloads it when the last call of it has ended; until then others may join.
    if (e.at != model_state::ready)
        return;
    if (e.out != 0) {
        e.leaves = true;
        return;
    }
    change(e, model_state::unloading, now);
    e.unloading_until = now + verify_within;
}

void ledger::unload_begins(const std::string& model, instant now)
{
    auto& e = all_[model];
    change(e, model_state::unloading, now);
    e.unloading_until = instant::max();  // the ladder says how it ends
}

void ledger::gone(const std::string& model, instant now)
{
    change(all_[model], model_state::absent, now);
}

void ledger::is_stuck(const std::string& model, instant now)
{
    change(all_[model], model_state::stuck, now);
}

ledger::drift ledger::listed(const std::vector<loaded_model>& shown, instant asked, instant now)
{
    drift d;
    for (const auto& l : shown) {
        auto& e = all_[l.canonical];
        bool later = e.changed > asked && e.changed != instant{};
        switch (e.at) {
            case model_state::absent:
                if (later)
                    continue;
                change(e, model_state::ready, now);
                e.changed = asked;
                e.foreign = true;
                ++d.appeared;
                break;
            case model_state::ready:
                if (e.context != 0 && l.context_length != 0 && l.context_length != e.context &&
                    !later) {
                    e.foreign = true;
                    ++d.reloaded;
                }
                e.sure = e.sure || !later;
                break;
            case model_state::unloading:
                if (now >= e.unloading_until && e.unloading_until != instant::max()) {
                    change(e, model_state::ready, now);
                    e.foreign = true;
                }
                break;
            case model_state::loading:
            case model_state::stuck: break;
        }
        e.size_vram = l.size_vram;
        e.context = l.context_length;
        e.expires_at = l.expires_at;
        if (e.out == 0 && e.last_used <= asked) {
            e.may_go = instant::max();
            // Listed long after its time it is not about to go: somebody else keeps it busy.
            e.expires = l.expires_in && *l.expires_in > -std::chrono::seconds(10)
                            ? std::optional<instant>(now + *l.expires_in)
                            : std::nullopt;
        }
        if (e.at == model_state::ready && !e.foreign && l.size_vram != 0)
            sizes_[{l.canonical, e.options}] = l.size_vram;
    }
    for (auto& [name, e] : all_) {
        bool in = std::any_of(shown.begin(), shown.end(),
                              [&n = name](const auto& l) { return l.canonical == n; });
        if (in || e.changed > asked)
            continue;
        if (e.at == model_state::ready) {
            bool in_time = !e.sure || now >= e.may_go - leeway || (e.expires && now >= *e.expires);
            if (!in_time) {
                ++d.vanished;
                d.gone.push_back(name);
            }
            change(e, model_state::absent, now);
        } else if (e.at == model_state::unloading && e.unloading_until != instant::max()) {
            change(e, model_state::absent, now);
        }
    }
    return d;
}

void ledger::upstream_away()
{
    for (auto& [name, e] : all_)
        if (e.at == model_state::ready)
            e.sure = false;
}

const ledger::entry* ledger::find(std::string_view model) const
{
    if (newest_ != nullptr && newest_->first == model)
        return &newest_->second;
    auto found = all_.find(model);
    if (found == all_.end())
        return nullptr;
    newest_ = &*found;
    return &found->second;
}

model_state ledger::state(std::string_view model) const
{
    const auto* e = find(model);
    return e == nullptr ? model_state::absent : e->at;
}

bool ledger::serves(std::string_view model, const std::string& options, bool reuse,
                    instant now) const
{
    const auto* e = find(model);
    return e != nullptr && serves(*e, options, reuse, now);
}

bool ledger::serves(const entry& e, const std::string& options, bool reuse, instant now)
{
    if (e.at != model_state::ready || !e.sure || e.leaves)
        return false;
    if (e.out == 0 && e.expires && now >= *e.expires)
        return false;  // its keep_alive is over: it goes, or has gone
    if (e.foreign) {
        // Loaded by somebody else: the wish for nothing is taken for the same as theirs, and one
        // for just the context it has.
        if (options.empty())
            return true;
        auto wish = load_options::read(options);
        return wish.without_num_ctx().empty() && e.context != 0 && wish.num_ctx() == e.context;
    }
    if (e.options == options)
        return true;
    if (!reuse || e.options.find('\x1f') != std::string::npos ||
        options.find('\x1f') != std::string::npos)
        return false;
    return load_options::read(e.options).serves_smaller(load_options::read(options), e.context);
}

std::uint64_t ledger::measured(std::string_view model, const std::string& options) const
{
    auto found = sizes_.find({std::string(model), options});
    return found == sizes_.end() ? 0 : found->second;
}

void ledger::keep_apart(const std::string& a, const std::string& b)
{
    apart_.insert(std::minmax(a, b));
}

bool ledger::apart(const std::string& a, const std::string& b) const
{
    return apart_.count(std::minmax(a, b)) != 0;
}

}  // namespace gateway
