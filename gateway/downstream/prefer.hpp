// Whether a client wants its answer later: `Prefer: respond-async` (RFC 7240 §4.1). Pure.
#pragma once

#include "downstream/head.hpp"

namespace gateway {

bool asks_for_later(const request_head& head);

}  // namespace gateway
