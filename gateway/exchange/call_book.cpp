#include "exchange/call_book.hpp"

#include "exchange/live_call.hpp"

namespace gateway {

call_book::call_book()
{
    // Room that is not touched costs nothing.
    ended_.reserve(most_kept);
    ids_.reserve(most_kept);
}

void call_book::enter(live_call& c)
{
    if (all_.size() == all_.capacity())
        all_.reserve(2 * all_.size() + 64);
    c.found_ = by_hash_.emplace(c.hash_, &c).second;
    c.place_ = all_.size();
    all_.push_back(&c);  // there is room: from here nothing throws
}

call_record& call_book::leave(live_call& c, instant now)
{
    if (c.found_)
        by_hash_.erase(c.hash_);
    all_[c.place_] = all_.back();
    all_[c.place_]->place_ = c.place_;
    all_.pop_back();

    const auto at = next_;
    if (at == ended_.size()) {
        ended_.emplace_back();
        ids_.emplace_back();
    }
    ended_[at].at = now;
    ids_[at] = c.hash_;
    next_ = (next_ + 1) % most_kept;
    ++total_;
    return ended_[at].record;
}

const call_book::finished* call_book::back(std::size_t n, instant now) const
{
    if (n >= ended_.size())
        return nullptr;
    const auto& f = ended_[(next_ + ended_.size() - 1 - n) % ended_.size()];
    return now - f.at > kept_for ? nullptr : &f;
}

live_call* call_book::find(std::string_view id) const
{
    auto found = by_hash_.find(std::hash<std::string_view>()(id));
    return found == by_hash_.end() || found->second->id() != id ? nullptr : found->second;
}

std::optional<call_view> call_book::view(std::string_view id, instant now) const
{
    if (auto* live = find(id))
        return live->view(now);
    auto hash = std::hash<std::string_view>()(id);
    const finished* found = nullptr;
    for (std::size_t n = 0; found == nullptr && n < ids_.size(); ++n) {
        if (ids_[(next_ + ids_.size() - 1 - n) % ids_.size()] != hash)
            continue;
        const auto* f = back(n, now);
        if (f == nullptr)
            break;
        if (f->record.id == id)
            found = f;
    }
    if (found == nullptr)
        return std::nullopt;
    const auto& r = found->record;
    call_view v;
    v.id = r.id;
    v.client = r.client;
    v.owner = r.owner;
    v.where = r.where;
    v.model = r.model;
    v.now = r.ended_in;
    v.waited_ms = r.queue_us / 1000;
    v.age_s = double(r.total_us) / 1e6;
    v.chunks = r.chunks;
    v.how = r.how;
    v.attempts = r.attempts;
    return v;
}

std::vector<call_view> call_book::live(instant now) const
{
    std::vector<call_view> views;
    views.reserve(all_.size());
    for (const auto* c : all_)
        views.push_back(c->view(now));
    return views;
}

call_book::recent_page call_book::recent(std::size_t most, std::uint64_t cursor) const
{
    recent_page p;
    auto now = steady::now();
    // The newest is number total_; the cursor is the number of the last one told.
    auto n = cursor == 0 || cursor > total_ ? 0 : total_ - cursor + 1;
    for (const auto* f = back(n, now); f != nullptr; f = back(++n, now)) {
        if (p.calls.size() == most) {
            p.cursor = total_ - n + 1;
            break;
        }
        p.calls.push_back(&f->record);
    }
    return p;
}

}  // namespace gateway
