// The checks of checks.hpp.
#include "proxy-config/checks.hpp"

#include "base/text.hpp"
#include "proxy-config/address.hpp"

#include <algorithm>

namespace gateway {

namespace {

bool is_letter_or_digit(char c)
{
    const char l = to_lower(c);
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9');
}

// Every character a letter, a digit or one of `others`; not empty.
bool consists_of(std::string_view text, std::string_view others)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return is_letter_or_digit(c) || others.find(c) != std::string_view::npos;
    });
}

bool has_control(std::string_view text)
{
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace

std::string check_upstream_name(std::string_view text)
{
    // It stands in headers, log lines and metric labels.
    return consists_of(text, "._:[]-") && text.size() <= 260
               ? ""
               : "must be a name of letters, digits and . _ : - [ ]";
}

std::string check_upstream_url(std::string_view text)
{
    std::string why;
    parse_upstream_address(text, why);
    return why;
}

std::string check_listen_address(std::string_view text)
{
    std::string why;
    parse_listen_address(text, why);
    return why;
}

std::string check_network(std::string_view text)
{
    return is_network(text)
               ? ""
               : "must be an IP address or a network: \"192.0.2.7\", \"10.0.0.0/8\", \"::1/128\"";
}

std::string check_host(std::string_view text)
{
    return is_host_name(text) ? ""
                              : "must be a host name without scheme and port: \"ollama.lab.org\"";
}

std::string check_origin(std::string_view text)
{
    if (text == "*") {
        return {};
    }
    const auto colon = text.find("://");
    const bool good = colon != std::string_view::npos &&
                      consists_of(text.substr(0, colon), "+.-") &&
                      !(text[0] >= '0' && text[0] <= '9') && text[0] != '+' && text[0] != '.' &&
                      text[0] != '-' && consists_of(text.substr(colon + 3), "._:[]-*") &&
                      std::count(text.begin(), text.end(), '*') <= 1;
    return good ? ""
                : "must be an origin such as \"https://chat.lab.org\", with at most one *, without "
                  "a path";
}

std::string check_header_name(std::string_view text)
{
    // RFC 9110 §5.6.2 token
    return consists_of(text, "!#$%&'*+-.^_`|~") ? "" : "must be the name of a header field";
}

std::string check_language(std::string_view text)
{
    const auto parts = split(text, '-');
    const auto letters = [](char c) { return to_lower(c) >= 'a' && to_lower(c) <= 'z'; };
    const bool good =
        (parts[0].size() == 2 || parts[0].size() == 3) &&
        std::all_of(parts[0].begin(), parts[0].end(), letters) && consists_of(text, "-") &&
        std::all_of(parts.begin(), parts.end(), [](auto p) { return !p.empty() && p.size() <= 8; });
    return good ? "" : "must be a language tag: \"en\", \"de\", \"pt-BR\"";
}

std::string check_queue_message(std::string_view text)
{
    if (text.empty() || text.size() > 1000 || has_control(text)) {
        return "must be one line of 1 to 1000 bytes";
    }
    while (!text.empty()) {
        const auto brace = text.find_first_of("{}");
        if (brace == std::string_view::npos) {
            return {};
        }
        text.remove_prefix(brace);
        const std::string_view filled = text.substr(0, text.find('}') + 1);
        if (filled != "{position}" && filled != "{seconds}") {
            return "only {position} and {seconds} may stand in braces";
        }
        text.remove_prefix(filled.size());
    }
    return {};
}

std::string check_model_name(std::string_view text)
{
    return consists_of(text, "._:/@-") && text.size() <= 350
               ? ""
               : "must be a model's name: \"qwen2.5:14b\"";
}

std::string check_file_path(std::string_view text)
{
    return text.empty() || has_control(text) || text.size() > 4095 ? "must be the path of a file"
                                                                   : "";
}

std::string check_exemption(std::string_view text)
{
    if (text == "information" || text == "generation" || text == "embedding" ||
        text == "management") {
        return {};
    }
    const auto star = text.find('*');
    const bool good =
        text.starts_with('/') && !has_control(text) && text.size() <= 1000 &&
        text.find_first_of(" ?#") == std::string_view::npos &&
        (star == std::string_view::npos || (star == text.size() - 1 && text[star - 1] == '/'));
    return good ? ""
                : "must be a path (\"/api/tags\", \"/v1/*\") or one of \"information\", "
                  "\"generation\", \"embedding\", \"management\"";
}

std::string check_go_duration(std::string_view text)
{
    const std::string wrong =
        "must be a number of seconds or a duration as Ollama takes it: \"5m\", \"-1m\"";
    if (text.starts_with('-') || text.starts_with('+')) {
        text.remove_prefix(1);
    }
    if (text == "0") {
        return {};
    }
    do {
        const auto number = std::min(text.find_first_not_of("0123456789."), text.size());
        const std::string_view digits = text.substr(0, number);
        text.remove_prefix(number);
        const auto unit = text.substr(0, text.find_first_of("0123456789."));
        text.remove_prefix(unit.size());
        if (digits.find_first_of("0123456789") == std::string_view::npos ||
            std::count(digits.begin(), digits.end(), '.') > 1 ||
            (unit != "h" && unit != "m" && unit != "s" && unit != "ms" && unit != "us" &&
             unit != "ns")) {
            return wrong;
        }
    } while (!text.empty());
    return {};
}

}  // namespace gateway
