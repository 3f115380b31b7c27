#include "downstream/prefer.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace gateway {

bool asks_for_later(const request_head& head)
{
    return std::any_of(head.fields.begin(), head.fields.end(), [](const field& f) {
        if (f.is != field_name::prefer)
            return false;
        auto wishes = split(f.value, ',');
        return std::any_of(wishes.begin(), wishes.end(), [](std::string_view w) {
            return iequals(split(w, ';').front(), "respond-async");
        });
    });
}

}  // namespace gateway
