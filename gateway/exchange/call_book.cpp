#include "exchange/call_book.hpp"

#include "exchange/live_call.hpp"

namespace gateway {

void call_book::enter(live_call& c)
{
    c.place_in_book = all_.size();
    all_.push_back(&c);
    by_id_.emplace(c.id(), &c);
}

void call_book::leave(live_call& c, call_record ended)
{
    auto found = by_id_.find(c.id());
    if (found != by_id_.end() && found->second == &c)
        by_id_.erase(found);
    all_[c.place_in_book] = all_.back();
    all_[c.place_in_book]->place_in_book = c.place_in_book;
    all_.pop_back();

    auto now = steady::now();
    forget(now);
    auto kept = std::make_shared<finished>(finished{now, std::move(ended)});
    ended_.push_back(kept);
    ended_by_id_[kept->record.id] = kept;
}

void call_book::forget(instant now)
{
    while (!ended_.empty() && (ended_.size() >= most_kept || now - ended_.front()->at > kept_for)) {
        auto found = ended_by_id_.find(ended_.front()->record.id);
        if (found != ended_by_id_.end() && found->second == ended_.front())
            ended_by_id_.erase(found);
        ended_.pop_front();
    }
}

live_call* call_book::find(std::string_view id) const
{
    auto found = by_id_.find(std::string(id));
    return found == by_id_.end() ? nullptr : found->second;
}

std::optional<call_view> call_book::view(std::string_view id, instant now) const
{
    if (auto* live = find(id))
        return live->view(now);
    auto found = ended_by_id_.find(std::string(id));
    if (found == ended_by_id_.end() || now - found->second->at > kept_for)
        return std::nullopt;
    const auto& r = found->second->record;
    call_view v;
    v.id = r.id;
    v.client = r.client;
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

std::vector<const call_record*> call_book::recent(std::size_t most, std::string_view after) const
{
    std::vector<const call_record*> page;
    bool begun = after.empty();
    for (auto at = ended_.rbegin(); at != ended_.rend() && page.size() < most; ++at) {
        if (begun)
            page.push_back(&(*at)->record);
        else if ((*at)->record.id == after)
            begun = true;
    }
    return page;
}

}  // namespace gateway
