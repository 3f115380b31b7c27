// One client request on its way through: a value, but for a body too large to be held.
#pragma once

#include "async/words.hpp"
#include "base/clock.hpp"
#include "base/memory_budget.hpp"
#include "base/wall_time.hpp"
#include "call/body_facts.hpp"
#include "call/kinds.hpp"
#include "call/telling.hpp"
#include "proxy-config/config.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace gateway {

// A request body that streams through: management calls, and whatever else is not held.
class upload {
public:
    virtual ~upload() = default;
    // The next bytes; empty when the body has ended or the client failed to send it (see
    // complete()). Valid until the next call.
    virtual awaitable<std::span<const char>> next() = 0;
    virtual bool complete() const = 0;
    // Its framing is wrong: nothing of the rest can be told apart.
    virtual bool broken() const = 0;
    // Nobody wants the rest: next() returns, empty.
    virtual void abandon() = 0;
};

struct call {
    std::string id;      // X-Request-Id
    std::string client;  // the fairness key (SPEC §5)
    std::string key;     // the verified key's name, which owns jobs; empty: none was shown
    bool background = false;

    endpoint where = endpoint::other;
    kind what = kind::information;
    dialect words = dialect::native;
    shape framed = shape::one_piece;
    telling told = telling::padding;
    bool at_once = false;  // asked for events

    std::string method;
    std::string target;  // path and query, as sent
    std::string fields;  // the header lines that go to Ollama, each with its CRLF (SPEC §4)

    bool no_fallback = false;  // X-Gateway-No-Fallback
    std::string upstream;      // X-Gateway-Upstream; empty: none named

    std::string body;     // held, exactly what goes upstream
    bool packed = false;  // it came as zstd: the facts are of what is in it
    std::optional<memory_budget::share> body_memory;
    bool has_body = false;
    upload* streamed = nullptr;                    // not held
    std::optional<std::uint64_t> streamed_length;  // its Content-Length; chunked without

    body_facts facts;
    std::string model;  // as Ollama compares names; empty when the call names none

    std::string languages;  // Accept-Language
    instant arrived{};
    wall_clock::time_point created{};  // the same moment

    std::shared_ptr<const config> settings;  // the snapshot this call lives by

    // The answer has begun: nothing will be sent again, and the body's memory is given back.
    void release_body()
    {
        std::string().swap(body);
        if (body_memory)
            body_memory->hold(0);
    }
};

}  // namespace gateway
