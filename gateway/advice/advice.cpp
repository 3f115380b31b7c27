#include "advice/advice.hpp"

#include "base/text.hpp"
#include "proxy-config/address.hpp"
#include "proxy-config/quantity.hpp"

#include <algorithm>

namespace gateway {

namespace {

constexpr std::uint64_t gib = 1ull << 30;
constexpr std::uint64_t mib = 1ull << 20;

bool is_open(const std::string& listen)
{
    std::string why;
    auto at = parse_listen_address(listen, why);
    return at && !at->is_unix() && !is_loopback(at->host);
}

bool is_here(const config::upstream& u)
{
    std::string why;
    auto at = parse_upstream_address(u.url, why);
    return at && is_loopback(at->host);
}

std::string place(std::size_t n)
{
    return "upstreams[" + std::to_string(n) + "]";
}

void about_vram(const config& c, const std::vector<graphics_card>& cards,
                std::vector<std::string>& all)
{
    if (cards.empty())
        return;
    std::uint64_t whole = 0;
    std::string names;
    for (const auto& card : cards) {
        whole += card.bytes;
        names += (names.empty() ? "" : ", ") + card.name;
    }
    auto there = "nvidia-smi tells of " + std::to_string(whole / mib) + " MiB (" + names + ")";
    for (std::size_t n = 0; n < c.upstreams.size(); ++n) {
        const auto& u = c.upstreams[n];
        if (!is_here(u))
            continue;
        if (!u.vram && whole > 2 * gib)
            // Ollama and the driver need some themselves.
            all.push_back(there + ": so that models are not loaded into each other's way, set " +
                          place(n) + ".vram, a gibibyte below it:\n    \"vram\": \"" +
                          std::to_string(whole / gib - 1) + "GiB\"");
        else if (u.vram && *u.vram > whole)
            all.push_back(place(n) + ".vram is " + format_size(*u.vram) + ", but " + there);
    }
}

void about_ollama(const config& c, std::vector<std::string>& all)
{
    for (std::size_t n = 0; n < c.upstreams.size(); ++n) {
        const auto& u = c.upstreams[n];
        if (u.max_concurrent < 2)
            continue;
        auto number = std::to_string(u.max_concurrent);
        all.push_back(
            "Ollama runs one call of a model at once unless it is told otherwise, and queues"
            " the others unseen; " +
            place(n) + ".max_concurrent is " + number + ". " +
            (is_here(u) ? "Tell it" : "On the machine of " + u.url + " tell it") +
            " with `systemctl edit ollama`:\n    [Service]\n    "
            "Environment=OLLAMA_NUM_PARALLEL=" +
            number);
    }
}

void about_openness(const config& c, std::vector<std::string>& all)
{
    bool keys = c.auth.keys_file.has_value();
    bool open = false;
    for (const auto& l : c.listen) {
        if (!is_open(l))
            continue;
        open = true;
        if (!keys)
            all.push_back(
                "listen " + l +
                " is not loopback and there are no keys (auth.keys_file): whoever reaches it"
                " may use the models");
    }
    if (!c.hosts.empty() && !keys)
        all.push_back(
            "`hosts` says that clients come through a tunnel or proxy, and there are no keys"
            " (auth.keys_file): whoever reaches " +
            c.hosts.front() + " may use the models");
    if (c.management == "allow" && !keys && (open || !c.hosts.empty()))
        all.push_back(
            "management is \"allow\": whoever reaches the gateway may pull and delete models;"
            " \"local\" leaves that to this machine");
    if (is_open(c.admin_listen))
        all.push_back(
            "admin.listen " + c.admin_listen +
            " is not loopback: whoever reaches it reads who asks which model; an SSH tunnel"
            " (ssh -L 9435:127.0.0.1:9435) does without");
    for (const auto& t : c.clients.trusted_proxies)
        if (t.ends_with("/0"))
            all.push_back("clients.trusted_proxies has " + t +
                          ": whoever reaches the gateway may call himself anybody, and so pass the "
                          "others in the queue");
}

}  // namespace

std::vector<graphics_card> parse_cards(std::string_view said)
{
    std::vector<graphics_card> all;
    for (auto line : split(said, '\n')) {
        auto comma = line.rfind(',');
        if (comma == std::string_view::npos)
            continue;
        auto size = parse_uint(trim(line.substr(comma + 1)), 1ull << 32);
        if (size && *size != 0)
            all.push_back({to_valid_utf8(trim(line.substr(0, comma))), *size * mib});
    }
    return all;
}

std::vector<std::string> advice(const config& c, const std::vector<graphics_card>& cards)
{
    std::vector<std::string> all;
    about_openness(c, all);
    about_vram(c, cards, all);
    about_ollama(c, all);
    return all;
}

}  // namespace gateway
