// One key of the keys file, and what a key may be allowed to do. Values. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

enum class scope : std::uint8_t {
    inference = 1,   // generations, embeddings, loads, and whatever POST is not known here
    jobs = 2,        // generations that outlive their connection
    management = 4,  // pull, push, create, copy, delete, blobs, …
    admin = 8,       // POSTs on the admin port
};

// Some of the scopes.
class scopes {
public:
    constexpr scopes() = default;
    constexpr scopes(std::initializer_list<scope> some)
    {
        for (const scope s : some) {
            add(s);
        }
    }
    constexpr void add(scope s) { bits_ |= static_cast<std::uint8_t>(s); }
    constexpr bool has(scope s) const { return (bits_ & static_cast<std::uint8_t>(s)) != 0; }
    constexpr bool operator==(const scopes&) const = default;

private:
    std::uint8_t bits_ = 0;
};

// What a key may do of which nothing is said.
constexpr scopes usual_scopes{scope::inference, scope::jobs};

std::string_view word(scope s);
// "inference,jobs"; nullopt when a word is none, when one stands twice, and when there is none.
std::optional<scopes> parse_scopes(std::string_view list);
std::string to_text(scopes s);

struct access_key {
    enum class type : std::uint8_t {
        secret,      // an API key: `value` is the SHA-256 of its text
        ed25519_key  // a public key that signs requests: `value` is it
    };
    type what = type::secret;
    std::string id;  // of an API key: its first part, "gw_7kq2m4xd"; else empty
    std::array<std::uint8_t, 32> value{};
    std::string name;  // the client; several keys may bear one name
    scopes may = usual_scopes;
    bool background = false;  // its calls yield to others

    bool operator==(const access_key&) const = default;
};

// An API key is gw_ID_SECRET, and its id gw_ID: 8 and 52 characters of base32.
constexpr std::string_view key_prefix = "gw_";
constexpr std::size_t key_id_size = 3 + 8;
constexpr std::size_t key_size = key_id_size + 1 + 52;
bool is_key_id(std::string_view text);
bool is_key(std::string_view text);  // has the form of one

// 1 to 64 letters, digits and . _ @ + -
bool is_key_name(std::string_view text);

}  // namespace gateway
