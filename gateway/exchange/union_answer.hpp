// Several upstreams answer as one catalogue (SPEC §7): what each of them lists, laid together.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

enum class listing_of : std::uint8_t {
    none,    // no listing
    tags,    // GET /api/tags: {"models":[{"name":…}]}
    ps,      // GET /api/ps: the same, of what is loaded
    models,  // GET /v1/models: {"object":"list","data":[{"id":…}]}
};

// Which listing a request asks for; `target` as it was sent.
listing_of listing_asked(std::string_view method, std::string_view target);

// The model that GET /v1/models/NAME asks about; empty when it is another request.
std::string_view model_asked(std::string_view method, std::string_view target);

// The members of all bodies in the order of the upstreams. Of two of one name the first stays, but
// in ps, where each upstream tells of its own. What is no listing adds nothing. Never throws.
std::string laid_together(listing_of what, const std::vector<std::string>& bodies);

}  // namespace gateway
