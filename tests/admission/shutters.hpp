// Doors that a test opens and shuts, by model and options; open everywhere unless it said
// otherwise.
#pragma once

#include "admission/turnstile.hpp"

#include <cstddef>
#include <map>
#include <string>
#include <utility>

namespace gateway {

class shutters : public doors {
public:
    static constexpr place_set everywhere = ~place_set{0};

    place_set open_to(const lane_key& lane) const override
    {
        ++asked;
        const auto at = set_.find({lane.model, lane.options});
        return at == set_.end() ? everywhere : at->second;
    }
    void open_at(const std::string& model, place_set where, const std::string& options = "")
    {
        set_[{model, options}] = where;
    }
    void shut(const std::string& model) { open_at(model, 0); }
    void open(const std::string& model) { open_at(model, everywhere); }
    void open_all() { set_.clear(); }

    mutable std::size_t asked = 0;

private:
    std::map<std::pair<std::string, std::string>, place_set> set_;
};

// For who needs none.
inline const shutters open_doors;

inline turnstile before_one_place(unsigned capacity, turnstile::limits l,
                                  const doors& at = open_doors)
{
    turnstile t(l, at, 1);
    t.set_capacity(0, capacity);
    return t;
}

inline lane_key lane_of(const std::string& model)
{
    return {model, "", 0};
}

}  // namespace gateway
