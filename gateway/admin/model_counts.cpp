#include "admin/model_counts.hpp"

#include <map>

namespace gateway {

std::vector<model_count> model_counts(const site& at, instant now)
{
    std::map<std::string, model_count> all;
    for (auto& v : at.loaded.views(now)) {
        auto& m = all[v.name];
        m.state = v.state;
        m.loaded = v.loaded;
        m.size_vram = v.size_vram;
        m.expires_at = v.expires_at;
        m.silence_s = v.silence_s;
    }
    for (const auto* pool : {&at.generations, &at.embeddings})
        for (const auto& name : pool->view().models_waited_for())
            all[name];
    std::vector<model_count> list;
    for (auto& [name, m] : all) {
        m.name = name;
        if (m.state.empty())
            m.state = "absent";
        m.running = at.generations.view().running(name) + at.embeddings.view().running(name);
        m.waiting = at.generations.view().waiting(name) + at.embeddings.view().waiting(name);
        if (m.loaded || m.running != 0 || m.waiting != 0 || m.state != "absent")
            list.push_back(std::move(m));
    }
    return list;
}

}  // namespace gateway
