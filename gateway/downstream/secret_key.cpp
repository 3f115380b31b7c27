#include "downstream/secret_key.hpp"

#include "base/encoding.hpp"

#include <openssl/sha.h>

namespace gateway {

std::array<std::uint8_t, 32> hash_of_key(std::string_view text)
{
    std::array<std::uint8_t, SHA256_DIGEST_LENGTH> hash{};
    ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
    return hash;
}

made_key make_key(std::span<const std::uint8_t, key_bytes> random, std::string name, scopes may,
                  bool background)
{
    made_key made;
    made.kept.id = std::string(key_prefix) + to_base32(random.first(5));
    made.text = made.kept.id + "_" + to_base32(random.subspan(5));
    made.kept.value = hash_of_key(made.text);
    made.kept.name = std::move(name);
    made.kept.may = may;
    made.kept.background = background;
    return made;
}

}  // namespace gateway
