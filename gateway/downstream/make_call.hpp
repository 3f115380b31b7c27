// What a head and a body mean for the exchange: a call. No I/O.
#pragma once

#include "call/call.hpp"
#include "downstream/classify.hpp"
#include "downstream/head.hpp"
#include "downstream/identity.hpp"

#include <boost/system/result.hpp>

#include <memory>
#include <string>

namespace gateway {

// Everything of a new call but its body. `fields`: what goes on of the head (upstream_fields).
void begin_call(call& c, const request_head& head, const classified& how, const identity& who,
                std::shared_ptr<const config> settings, std::string id, std::string fields);

// Puts a held body into it: facts, model, kind, how it is answered. Faults: bad_body.
boost::system::result<void, fault> add_body(call& c, const request_head& head,
                                            const classified& how, const identity& who,
                                            std::string body, memory_budget::share memory);

}  // namespace gateway
