// The keys of a configuration, and whether what a request shows is one of them: an API key (Bearer
// or x-api-key), or the signature that the ollama command makes with OLLAMA_AUTH=1. Pure.
#pragma once

#include "downstream/head.hpp"
#include "proxy-config/access_key.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gateway {

class key_ring {
public:
    key_ring() = default;
    explicit key_ring(const std::vector<access_key>& keys);

    bool empty() const { return by_id_.empty() && by_public_key_.empty(); }
    std::size_t size() const { return by_id_.size() + by_public_key_.size(); }

    struct shown {
        const access_key* key = nullptr;  // the verified one; lives as long as the ring
        // Without one: why, for people; empty when nothing was shown at all.
        std::string_view why;
    };
    // `now`: Unix seconds. Where one header shows a key and the other does not, the key counts;
    // where both do, Authorization. A header that stands twice with different values shows nothing
    // that could be trusted.
    shown verify(const request_head& head, std::int64_t now) const;

private:
    shown verify_secret(std::string_view text) const;
    shown verify_signature(const request_head& head, std::string_view text, std::int64_t now) const;

    std::map<std::string, access_key, std::less<>> by_id_;
    std::map<std::array<std::uint8_t, 32>, access_key> by_public_key_;
};

// How far the time in a signature may be from ours, either way. As the signature does not cover the
// body and its time has whole seconds, within this time one that was overheard can be used again
// for the same method and target (SECURITY.md).
constexpr std::int64_t signature_window = 300;

}  // namespace gateway
