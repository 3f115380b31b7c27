// What a text of the configuration may be. Each check says what is wrong, or nothing. Pure.
#pragma once

#include <string>
#include <string_view>

namespace gateway {

using check = std::string (*)(std::string_view);

std::string check_upstream_name(std::string_view text);
std::string check_upstream_url(std::string_view text);
std::string check_listen_address(std::string_view text);
std::string check_network(std::string_view text);
std::string check_host(std::string_view text);
std::string check_origin(std::string_view text);
std::string check_header_name(std::string_view text);
std::string check_language(std::string_view text);
std::string check_queue_message(std::string_view text);
std::string check_model_name(std::string_view text);
std::string check_file_path(std::string_view text);
// A path, "/v1/*" for all below it, or the word of a kind of request.
std::string check_exemption(std::string_view text);

// "5m", "1h30m", "-1m", "0": what Ollama's keep_alive may be as text (Go time.ParseDuration).
std::string check_go_duration(std::string_view text);

}  // namespace gateway
