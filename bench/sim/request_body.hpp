// Request bodies that are not plain JSON: zstd-compressed ones and multipart forms. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sim {

// Decompresses a zstd body of at most 20 MiB (cloud_proxy.go:81); empty when it is broken or
// larger.
std::optional<std::string> unzstd(std::string_view body);

// The parts of a multipart/form-data body by their names; empty when the type or the framing is
// wrong.
std::optional<std::map<std::string, std::string>> parse_form(std::string_view content_type,
                                                             std::string_view body);

}  // namespace sim
