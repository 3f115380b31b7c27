#include "admin/model_counts.hpp"

#include <map>
#include <set>

namespace gateway {

std::vector<model_count> model_counts(const live_rooms& from, instant now)
{
    std::set<std::string> wanted;
    for (const auto* a : {&from.generations, &from.embeddings})
        for (const auto& name : a->view().models_waited_for())
            wanted.insert(name);
    std::vector<model_count> list;
    for (const auto* s : from.upstreams.sites()) {
        std::map<std::string, model_count> here;
        for (auto& v : s->loaded.views(now)) {
            auto& m = here[v.name];
            m.state = v.state;
            m.learned = v.learned;
            m.loaded = v.loaded;
            m.size_vram = v.size_vram;
            m.expires_at = v.expires_at;
            m.silence_s = v.silence_s;
        }
        for (const auto& name : wanted)
            if (s->names.lists(name) || from.upstreams.sites().size() == 1)
                here[name];
        for (auto& [name, m] : here) {
            m.name = name;
            m.upstream = s->name;
            for (const auto* a : {&from.generations, &from.embeddings}) {
                m.running += a->view().running(s->place, name);
                m.waiting += a->view().waiting(name);
            }
            if (m.running != 0 || m.waiting != 0 || m.state != model_state::absent)
                list.push_back(std::move(m));
        }
    }
    return list;
}

std::vector<model_count> model_totals(const live_rooms& from, instant now)
{
    std::map<std::string, model_count> all;
    for (auto& m : model_counts(from, now)) {
        auto [at, is_new] = all.try_emplace(m.name, m);
        if (is_new)
            continue;
        at->second.loaded = at->second.loaded || m.loaded;
        at->second.running += m.running;
    }
    std::vector<model_count> list;
    for (auto& [name, m] : all)
        list.push_back(std::move(m));
    return list;
}

}  // namespace gateway
