#include "key_command.hpp"

#include "downstream/secret_key.hpp"
#include "proxy-config/keys_file.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <iostream>

namespace gateway {

int make_new_key(const key_wishes& wanted)
{
    constexpr int bad_usage = 2;
    const auto wrong = [](const char* what) {
        std::cerr << "ollama-gateway key new: " << what << "\n";
        return bad_usage;
    };
    if (!is_key_name(wanted.name))
        return wrong("NAME must be 1 to 64 letters, digits and . _ @ + -");
    const auto may = parse_scopes(wanted.may);
    if (!may)
        return wrong("--scope must be some of inference,jobs,management,admin (commas, no spaces)");
    if (wanted.priority != "background" && wanted.priority != "interactive")
        return wrong("--priority must be background or interactive");

    std::array<std::uint8_t, key_bytes> random{};
    if (::RAND_bytes(random.data(), int(random.size())) != 1) {
        std::cerr << "ollama-gateway key new: no random numbers to be had\n";
        return 1;
    }
    auto made = make_key(random, wanted.name, *may, wanted.priority == "background");
    std::cerr << "The key, told this once (only its hash is kept), and its line for the keys file"
                 " (auth.keys_file):\n";
    std::cout << made.text << "\n" << line_of(made.kept) << std::endl;
    std::cerr
        << "It is known from the next reload on: POST /reload on the admin port, or SIGHUP.\n";
    ::OPENSSL_cleanse(made.text.data(), made.text.size());
    ::OPENSSL_cleanse(random.data(), random.size());
    return std::cout ? 0 : 1;
}

}  // namespace gateway
