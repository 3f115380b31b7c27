// The keys file: who may call, one key a line.
//
//     # comment
//     gw_7kq2m4xd sha256:5f2c… ada inference,jobs
//     gw_m3x7vd2k sha256:90aa… nightly inference background
//     ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA… ada inference,management
//
// An id and the SHA-256 of the whole key, or an OpenSSH public key; a name; then, where they are
// not the usual ones, scopes, and `background` (or `interactive`). A mistake is told with its line
// and without the line's text, which may hold what nobody should read.
#pragma once

#include "proxy-config/config.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace gateway {

// Pure. `place` and `file` say where a mistake stands: "auth.keys_file: /etc/…/keys:3: …". At most
// ten mistakes are told.
std::vector<access_key> parse_keys(std::string_view text, const std::string& file,
                                   std::vector<config_mistake>& mistakes);

// The line of an API key, without a line end.
std::string line_of(const access_key& key);

// The 32 bytes of an ed25519 public key in its OpenSSH form (RFC 8709 §4, base64): the second word
// of a `.pub` file, and what the ollama command sends before its signature. Pure.
std::optional<std::array<std::uint8_t, 32>> read_ed25519_key(std::string_view base64);

// Reads `auth.keys_file`, if there is one, into `auth.keys`. A mistake: a file that cannot be read,
// is no regular file, is over 1 MiB, or that others than its owner may write. A file that everybody
// may read is noted in `auth.keys_note`.
void read_keys_file(config::auth_settings& auth, std::vector<config_mistake>& mistakes);

}  // namespace gateway
