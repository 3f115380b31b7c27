// The heads that come on one connection, one after another. A client mostly asks in the same words
// again, but for the length of its body: such a head is known by them, not parsed again. No I/O.
#pragma once

#include "downstream/head.hpp"
#include "wire/head_pattern.hpp"

#include <boost/system/result.hpp>

#include <cstddef>
#include <string_view>

namespace gateway {

class incoming_head {
public:
    // Looks for the next one in all that has come after the last one; call it again with more. Says
    // how many bytes it has; 0: it is not whole yet. Faults: those of parse_head().
    boost::system::result<std::size_t, fault> look(std::string_view bytes, const head_limits& l);

    // Until the next one is looked for.
    bool whole() const { return whole_; }
    // The last one that was whole, or empty.
    const request_head& get() const { return head_; }
    // It says what the one before it said, but for the length of the body (and both have one).
    bool again() const { return again_; }

private:
    bool is_known(const head_pattern::match& found, const head_limits& l);

    request_head head_;
    head_pattern known_;
    std::size_t looked_ = 0;  // bytes, in which it does not end
    bool whole_ = false;
    bool again_ = false;
};

}  // namespace gateway
