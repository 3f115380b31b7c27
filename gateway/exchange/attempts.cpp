#include "exchange/attempts.hpp"

namespace gateway {

attempts::attempts(std::string model, std::vector<std::string> fallbacks)
    : first_(std::move(model)), fallbacks_(std::move(fallbacks))
{
}

attempts::next attempts::after(const try_end& e, place_set others) const
{
    if (e.how == outcome::ok || e.model_bytes || e.ours || e.own_limit)
        return next::end;
    if (e.busy)
        return next::again;
    auto another = more_models() ? next::fallback : next::end;
    auto elsewhere = others != 0 ? next::elsewhere : another;
    switch (e.how) {
        case outcome::timed_out:
        case outcome::connect_failed:
        case outcome::upstream_failed:
        case outcome::truncated:
        case outcome::stuck:
        case outcome::does_not_fit: return elsewhere;
        case outcome::upstream_status:
            if (e.status >= 500)
                return elsewhere;
            if (e.status == 404)
                return elsewhere;
            // Of a model that the client did not ask for; what it asked for itself it is told.
            if (e.unsupported && substituted())
                return another;
            return next::end;
        case outcome::not_tried: return another;
        default: return next::end;
    }
}

bool attempts::withholds(int status, place_set others) const
{
    if (status == 503)
        return true;  // it may be "server busy"
    bool more = others != 0 || more_models();
    return (more && (status >= 500 || status == 404)) || (substituted() && status == 400);
}

}  // namespace gateway
