#include "downstream/key_ring.hpp"

#include "base/encoding.hpp"
#include "base/text.hpp"
#include "downstream/secret_key.hpp"
#include "proxy-config/keys_file.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <memory>
#include <optional>

namespace gateway {

namespace {

constexpr std::string_view not_known = "this key is none of those in auth.keys_file";

struct sent {
    std::string_view value;
    bool twice = false;  // with different values
};

sent field_of(const request_head& head, field_name name)
{
    sent s;
    bool found = false;
    for (const field& f : head.fields) {
        if (f.is != name) {
            continue;
        }
        s.twice = s.twice || (found && s.value != f.value);
        s.value = f.value;
        found = true;
    }
    return s;
}

// The one `ts` of a query; the others may stand beside it, for all of it is signed.
std::optional<std::uint64_t> time_of(std::string_view query)
{
    std::optional<std::uint64_t> time;
    for (const std::string_view part : split(query, '&')) {
        if (!part.starts_with("ts=")) {
            continue;
        }
        if (time) {
            return std::nullopt;
        }
        time = parse_uint(part.substr(3), INT64_MAX);
        if (!time) {
            return std::nullopt;
        }
    }
    return time;
}

struct evp_free {
    void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
    void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
};

bool is_signed(const std::array<std::uint8_t, 32>& public_key, std::string_view text,
               const byte_row& signature)
{
    const std::unique_ptr<EVP_PKEY, evp_free> key(::EVP_PKEY_new_raw_public_key(
        EVP_PKEY_ED25519, nullptr, public_key.data(), public_key.size()));
    const std::unique_ptr<EVP_MD_CTX, evp_free> context(::EVP_MD_CTX_new());
    return key && context &&
           ::EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
           ::EVP_DigestVerify(context.get(), signature.data(), signature.size(),
                              reinterpret_cast<const unsigned char*>(text.data()),
                              text.size()) == 1;
}

}  // namespace

key_ring::key_ring(const std::vector<access_key>& keys)
{
    for (const access_key& key : keys) {
        if (key.what == access_key::type::secret) {
            by_id_.emplace(key.id, key);
        } else {
            by_public_key_.emplace(key.value, key);
        }
    }
}

key_ring::shown key_ring::verify_secret(std::string_view text) const
{
    if (!is_key(text)) {
        return {nullptr, not_known};
    }
    const auto found = by_id_.find(text.substr(0, key_id_size));
    if (found == by_id_.end()) {
        return {nullptr, not_known};
    }
    // The id is no secret; of the rest only the hash is looked at, and all of it.
    const auto hash = hash_of_key(text);
    if (::CRYPTO_memcmp(hash.data(), found->second.value.data(), hash.size()) != 0) {
        return {nullptr, not_known};
    }
    return {&found->second, {}};
}

// auth.Sign and client.do of Ollama: "Authorization: PUBLIC_KEY:SIGNATURE", without a scheme, over
// "METHOD,/path?ts=SECONDS".
key_ring::shown key_ring::verify_signature(const request_head& head, std::string_view text,
                                           std::int64_t now) const
{
    const auto colon = text.find(':');
    const auto public_key = read_ed25519_key(text.substr(0, colon));
    const auto signature = from_base64(text.substr(colon + 1));
    if (!public_key || !signature || signature->size() != 64) {
        return {nullptr, not_known};
    }
    const auto found = by_public_key_.find(*public_key);
    if (found == by_public_key_.end()) {
        return {nullptr, "the public key of this signature is none of those in auth.keys_file"};
    }
    const auto time = time_of(head.query);
    if (!time) {
        return {nullptr, "a signed request says its time once, in ?ts="};
    }
    const auto age = now - static_cast<std::int64_t>(*time);
    if (age > signature_window || age < -signature_window) {
        return {nullptr, "the signature is too old, or the clock here or there is wrong"};
    }
    if (!is_signed(*public_key, head.method + "," + head.target, *signature)) {
        return {nullptr, "the signature is not one of this request"};
    }
    return {&found->second, {}};
}

key_ring::shown key_ring::verify(const request_head& head, std::int64_t now) const
{
    const sent authorization = field_of(head, field_name::authorization);
    const sent api_key = field_of(head, field_name::x_api_key);
    if (authorization.twice || api_key.twice) {
        return {nullptr, "two different keys are shown in one request"};
    }
    shown result;
    constexpr std::string_view scheme = "bearer ";
    if (istarts_with(authorization.value, scheme)) {
        result = verify_secret(trim(authorization.value.substr(scheme.size())));
    } else if (authorization.value.find(':') != std::string_view::npos) {
        result = verify_signature(head, authorization.value, now);
    } else if (!authorization.value.empty()) {
        result.why = "the only Authorization understood here is Bearer KEY";
    }
    if (result.key == nullptr && !api_key.value.empty()) {
        const shown other = verify_secret(api_key.value);
        result = other.key != nullptr || result.why.empty() ? other : result;
    }
    return result;
}

}  // namespace gateway
