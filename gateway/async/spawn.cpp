// Where a coroutine of its own ends: the one catch, and what it says.
#include "async/words.hpp"
#include "base/log.hpp"

#include <boost/asio/co_spawn.hpp>

#include <exception>

namespace gateway {

void spawn(asio::io_context& io, const char* name, awaitable<void> work)
{
    asio::co_spawn(io, std::move(work), [name](std::exception_ptr thrown) {
        if (!thrown)
            return;
        try {
            std::rethrow_exception(thrown);
        } catch (const std::exception& e) {
            log::error("a coroutine ended by an exception", {{"in", name}, {"what", e.what()}});
        } catch (...) {
            log::error("a coroutine ended by an exception", {{"in", name}});
        }
    });
}

}  // namespace gateway
