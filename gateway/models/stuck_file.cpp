#include "models/stuck_file.hpp"

#include "base/log.hpp"
#include "base/text.hpp"

#include <cstdio>
#include <cstring>
#include <fstream>

namespace gateway {

void write_stuck_file(const std::string& path, const std::vector<stuck_model>& all)
{
    if (all.empty()) {
        if (std::remove(path.c_str()) != 0 && errno != ENOENT)
            log::error("unload.stuck_file could not be removed",
                       {{"file", path}, {"why", std::strerror(errno)}});
        return;
    }
    auto beside = path + ".new";
    {
        std::ofstream out(beside, std::ios::trunc);
        for (const auto& s : all)
            out << "{\"upstream\":" << json_quote(s.upstream)
                << ",\"model\":" << json_quote(s.model) << "}\n";
        out.flush();
        if (!out) {
            log::error("unload.stuck_file could not be written",
                       {{"file", beside}, {"why", std::strerror(errno)}});
            return;
        }
    }
    if (std::rename(beside.c_str(), path.c_str()) != 0)
        log::error("unload.stuck_file could not be put in place",
                   {{"file", path}, {"why", std::strerror(errno)}});
}

}  // namespace gateway
