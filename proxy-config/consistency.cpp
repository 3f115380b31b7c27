// Settings that contradict each other.
#include "proxy-config/consistency.hpp"

#include "base/text.hpp"
#include "proxy-config/address.hpp"
#include "proxy-config/document.hpp"
#include "proxy-config/model_spelling.hpp"
#include "proxy-config/quantity.hpp"

#include <optional>

namespace gateway {

using mistakes = std::vector<config_mistake>;

namespace {

struct listener {
    std::string text;
    std::string place;
    std::optional<listen_address> address;
};

// The public addresses, then the admin port's.
std::vector<listener> listeners_of(const config& c)
{
    std::string ignored;
    std::vector<listener> all;
    for (std::size_t i = 0; i < c.listen.size(); ++i) {
        all.push_back({c.listen[i], c.listen.size() == 1 ? "listen" : place_of("listen", i),
                       parse_listen_address(c.listen[i], ignored)});
    }
    all.push_back({c.admin_listen, "admin.listen", parse_listen_address(c.admin_listen, ignored)});
    return all;
}

void check_listeners(const std::vector<listener>& all, mistakes& wrong)
{
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (all[i].address && all[j].address && collide(*all[i].address, *all[j].address)) {
                wrong.push_back({all[i].place, "is the same address as " + all[j].place + " (" +
                                                   to_valid_utf8(all[j].text) + ")"});
                break;
            }
        }
    }
}

void check_upstreams(const config& c, const std::vector<listener>& listeners, mistakes& wrong)
{
    std::string ignored;
    for (std::size_t i = 0; i < c.upstreams.size(); ++i) {
        const std::string here = place_of("upstreams", i);
        const auto url = parse_upstream_address(c.upstreams[i].url, ignored);
        for (const listener& l : listeners) {
            if (url && l.address && leads_to(*url, *l.address)) {
                wrong.push_back({here + ".url", "is this gateway itself (" + l.place + ")"});
                break;
            }
        }
        for (std::size_t j = 0; j < i; ++j) {
            const std::string other = place_of("upstreams", j);
            if (url && url == parse_upstream_address(c.upstreams[j].url, ignored)) {
                wrong.push_back({here + ".url", "is the same as " + other + ".url"});
            } else if (!c.upstreams[i].name.empty() &&
                       iequals(c.upstreams[i].name, c.upstreams[j].name)) {
                wrong.push_back({here + ".name", "is the same as " + other + ".name"});
            }
        }
    }
}

void check_memory(const config& c, mistakes& wrong)
{
    const std::string memory = format_size(c.limits.memory);
    if (c.limits.body > c.limits.memory) {
        wrong.push_back({"limits.body", "is more than limits.memory (" + memory + ")"});
    }
    if (c.limits.client_buffer > c.limits.memory) {
        wrong.push_back({"limits.client_buffer", "is more than limits.memory (" + memory + ")"});
    }
}

void check_fallbacks(const config& c, mistakes& wrong)
{
    for (const auto& [name, settings] : c.models) {
        for (std::size_t i = 0; i < settings.fallbacks.size(); ++i) {
            if (model_spelling(settings.fallbacks[i]) == model_spelling(name)) {
                wrong.push_back({place_of(place_of(place_of("models", name), "fallbacks"), i),
                                 "is the model itself"});
            }
        }
    }
}

}  // namespace

void check_consistency(const config& c, mistakes& wrong)
{
    const auto listeners = listeners_of(c);
    check_listeners(listeners, wrong);
    check_upstreams(c, listeners, wrong);
    check_memory(c, wrong);
    check_fallbacks(c, wrong);
}

}  // namespace gateway
