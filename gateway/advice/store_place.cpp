#include "advice/store_place.hpp"

#include <unistd.h>

#include <filesystem>

namespace gateway {

std::string trouble_with_store_at(const std::string& file)
{
    std::error_code ignored;
    std::filesystem::path path(file);
    auto directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    if (!std::filesystem::is_directory(directory, ignored))
        return "there is no directory " + directory.string();
    if (std::filesystem::is_directory(path, ignored))
        return "it is a directory";
    bool there = std::filesystem::exists(path, ignored);
    if (there && ::access(path.c_str(), R_OK | W_OK) != 0)
        return "it cannot be read and written by this user";
    // SQLite keeps its log beside it.
    if (::access(directory.c_str(), W_OK | X_OK) != 0)
        return directory.string() + " cannot be written to by this user";
    return {};
}

}  // namespace gateway
