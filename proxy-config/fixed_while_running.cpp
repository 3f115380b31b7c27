#include "proxy-config/fixed_while_running.hpp"

#include <algorithm>

namespace gateway {

namespace {

const config::upstream* named(const std::vector<config::upstream>& all, const std::string& name)
{
    auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& u) { return u.name == name; });
    return found == all.end() ? nullptr : &*found;
}

}  // namespace

std::vector<std::string> keep_fixed(const config& now, config& next)
{
    std::vector<std::string> notes;
    auto keep = [&](auto& wanted, const auto& is, const std::string& place) {
        if (wanted == is)
            return;
        wanted = is;
        notes.push_back(place + " changes with the next start");
    };
    keep(next.listen, now.listen, "listen");
    keep(next.admin_listen, now.admin_listen, "admin.listen");
    keep(next.jobs.database, now.jobs.database, "jobs.database");
    std::vector<config::upstream> upstreams;
    for (const auto& u : now.upstreams) {
        const auto* wanted = named(next.upstreams, u.name);
        upstreams.push_back(wanted != nullptr ? *wanted : u);
        if (wanted == nullptr)
            notes.push_back("the upstream " + u.name + " goes with the next start");
        keep(upstreams.back().url, u.url, "the url of the upstream " + u.name);
    }
    for (const auto& u : next.upstreams)
        if (named(now.upstreams, u.name) == nullptr)
            notes.push_back("the upstream " + u.name + " comes with the next start");
    next.upstreams = std::move(upstreams);
    return notes;
}

}  // namespace gateway
