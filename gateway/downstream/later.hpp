// A call that its client does not wait for: `Prefer: respond-async` (RFC 7240).
#pragma once

#include "call/call.hpp"
#include "downstream/pages.hpp"

namespace gateway {

// Who takes such calls.
class later {
public:
    virtual ~later() = default;
    // Answers 202, or why not, in the words of the call's dialect.
    virtual awaitable<void> take(const call& c, const page_request& r, responder& to) = 0;
};

}  // namespace gateway
