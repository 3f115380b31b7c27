// A keys file may be any bytes, and so may what a request shows. Up to the first zero byte stands
// the file, up to the next what stands in Authorization, then the query. Nobody is let in but by a
// key whose hash stands in the file, or by a signature of a public key that does.
#include "base/text.hpp"
#include "downstream/key_ring.hpp"
#include "downstream/secret_key.hpp"
#include "proxy-config/keys_file.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace gateway;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    const auto next = [&rest] {
        const auto part = rest.substr(0, rest.find('\0'));
        rest.remove_prefix(std::min(part.size() + 1, rest.size()));
        return part;
    };
    std::vector<config_mistake> mistakes;
    const auto keys = parse_keys(next(), "keys", mistakes);
    for (const access_key& key : keys) {
        if (key.what != access_key::type::secret) {
            continue;
        }
        std::vector<config_mistake> none;
        if (parse_keys(line_of(key), "keys", none) != std::vector{key} || !none.empty()) {
            std::abort();  // what was accepted must be told so that it is accepted again
        }
    }
    request_head head;
    head.method = "POST";
    head.path = "/api/chat";
    head.fields = {{"Authorization", std::string(next())}};
    head.query = next();
    head.target = head.path + "?" + head.query;
    const key_ring ring(keys);
    const auto shown = ring.verify(head, 1795686894);
    if (shown.key == nullptr) {
        if (shown.why.empty() && !head.fields[0].value.empty()) {
            std::abort();  // a refusal without a reason
        }
        return 0;
    }
    const std::string_view value = head.fields[0].value;
    const bool by_secret = shown.key->what == access_key::type::secret;
    const auto text =
        trim(value.substr(std::min(value.size(), std::string_view("Bearer ").size())));
    if (by_secret ? hash_of_key(text) != shown.key->value
                  : read_ed25519_key(value.substr(0, value.find(':'))) != shown.key->value) {
        std::abort();
    }
    return 0;
}
