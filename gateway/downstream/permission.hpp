// Who may do what (SPEC §4 "Local", §11, §12): keys and their scopes, what is open without one, who
// manages models, who controls the gateway. Pure.
#pragma once

#include "call/fault.hpp"
#include "downstream/classify.hpp"
#include "downstream/session_rules.hpp"

#include <optional>
#include <string>

namespace gateway {

struct denial {
    fault why;           // unauthorized (401) or forbidden (403), naming the setting
    std::string fields;  // header lines of the answer: WWW-Authenticate
};

// May this request on the public port go on? When it shows a key that is one, `who` is that key's
// from here on: client, key, scopes, priority. `now`: Unix seconds.
std::optional<denial> admit(const request_head& head, const classified& how, identity& who,
                            const session_rules& rules, std::int64_t now);

// The same on the admin port: who reads may, whoever it is; what changes something is for the
// machine itself or a key with scope admin, and from a local or listed Origin.
std::optional<denial> admit_operator(const request_head& head, identity& who,
                                     const session_rules& rules, std::int64_t now);

// The scope that a request on the public port needs; none: any key will do.
std::optional<scope> needed_scope(const request_head& head, const classified& how,
                                  const config& settings);

// Is the request open without a key (auth.exempt)?
bool is_exempt(const request_head& head, const classified& how,
               const std::vector<std::string>& exempt);

// May whoever reaches the public port use the models, keys or not?
bool open_to_all(const config& settings);

}  // namespace gateway
