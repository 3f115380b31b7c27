// Where a client's calls of a model were last served: what is still in that runner's prompt cache
// is not computed again there. A table of fixed size; what was used longest ago is forgotten. Pure.
#pragma once

#include "admission/guest.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace gateway::queueing {

class served_before {
public:
    // Pairs of client and model that are remembered, about: each may stand in one row only.
    static constexpr std::size_t rows = 1024;
    static constexpr std::size_t per_row = 4;

    // Both by the text_hash() of their names.
    void note(std::size_t client, std::size_t model, place_id at)
    {
        const auto key = key_of(client, model);
        auto& row = row_of(key);
        std::size_t found = 0;
        while (found < per_row - 1 && row[found].key != key)
            ++found;
        std::move_backward(row.begin(), row.begin() + found, row.begin() + found + 1);
        row[0] = {key, at};
    }

    std::optional<place_id> last(std::size_t client, std::size_t model) const
    {
        const auto key = key_of(client, model);
        for (const auto& one : row_of(key)) {
            if (one.key == key)
                return one.at;
        }
        return std::nullopt;
    }

private:
    // Two pairs with one hash are taken for the same: at worst a call goes where it need not.
    struct one {
        std::uint64_t key = 0;
        place_id at = 0;
    };
    using row = std::array<one, per_row>;

    static std::uint64_t key_of(std::size_t client, std::size_t model)
    {
        return mixed(client, model) | 1;  // 0 is nobody
    }
    row& row_of(std::uint64_t key) { return all_[(key >> 1) % rows]; }
    const row& row_of(std::uint64_t key) const { return all_[(key >> 1) % rows]; }

    std::vector<row> all_ = std::vector<row>(rows);
};

}  // namespace gateway::queueing
