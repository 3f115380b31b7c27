// From text to configuration and back.
#include "proxy-config/config.hpp"

#include "base/text.hpp"
#include "proxy-config/consistency.hpp"
#include "proxy-config/document.hpp"
#include "proxy-config/model_spelling.hpp"
#include "proxy-config/overrides.hpp"
#include "proxy-config/settings.hpp"

namespace gateway {

parsed_config parse_config(std::string_view json, const std::vector<config_override>& overrides)
{
    parsed_config parsed;
    config& c = parsed.value;
    if (!trim(json).empty()) {
        if (const auto document = read_document(json, parsed.mistakes)) {
            read_section(settings_of(c), *document, "", "", parsed.mistakes);
        }
    }
    apply_overrides(c, overrides, parsed.mistakes);
    for (config::upstream& u : c.upstreams) {
        u.name = name_of(u);
    }
    check_consistency(c, parsed.mistakes);
    return parsed;
}

std::string to_json(const config& c)
{
    config shown = c;  // settings are bound to what they could set
    return write_section(settings_of(shown), "")
        .dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

const config::model_settings* settings_for(const config& c, std::string_view model)
{
    if (c.models.empty()) {
        return nullptr;
    }
    const std::string wanted = model_spelling(model);
    for (const auto& [name, settings] : c.models) {
        if (model_spelling(name) == wanted) {
            return &settings;
        }
    }
    return nullptr;
}

config::timeout_settings timeouts_for(const config& c, std::string_view model)
{
    config::timeout_settings t = c.timeouts;
    if (const auto* settings = settings_for(c, model)) {
        const config::timeout_overrides& own = settings->timeouts;
        t.connect = own.connect.value_or(t.connect);
        t.load = own.load.value_or(t.load);
        t.first_byte = own.first_byte.value_or(t.first_byte);
        t.idle = own.idle.value_or(t.idle);
        t.whole = own.whole.value_or(t.whole);
        t.total = own.total.value_or(t.total);
    }
    return t;
}

}  // namespace gateway
