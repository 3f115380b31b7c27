// What the tests of the configuration share: the files beside the code, and mistakes as text.
#pragma once

#include "catch.hpp"
#include "proxy-config/config.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace given {

// The folder proxy-config of the source tree. Not from __FILE__: ccache hands that in relative to
// the directory of the build, and the tests run in another.
inline std::filesystem::path folder()
{
    return std::filesystem::path(GATEWAY_SOURCE_DIR) / "proxy-config";
}

inline std::string file(const std::filesystem::path& path)
{
    std::ifstream in(path, std::ios::binary);
    REQUIRE(in);
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
}

inline std::vector<std::string> examples()
{
    std::vector<std::string> texts;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / "examples")) {
        texts.push_back(file(entry.path()));
    }
    std::sort(texts.begin(), texts.end());  // directories have no order
    REQUIRE(texts.size() >= 3);
    return texts;
}

// One line per mistake: "queue.grace: must be …".
inline std::string told(const std::vector<gateway::config_mistake>& mistakes)
{
    std::string lines;
    for (const auto& m : mistakes) {
        lines += m.place + ": " + m.text + "\n";
    }
    return lines;
}

inline std::string mistakes_in(std::string_view json,
                               const std::vector<gateway::config_override>& overrides = {})
{
    return told(gateway::parse_config(json, overrides).mistakes);
}

}  // namespace given
