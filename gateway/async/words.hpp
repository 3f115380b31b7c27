// The few async words that everything is written in. Errors are values: `auto [ec, n] = co_await
// op(…, as_result);`. No coroutine here is ever cancelled by a signal: what must end early has a
// `stop` (stop.hpp) whose hooks close its socket or wake its timer, and decides by state, never by
// `ec`.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>

namespace gateway {

namespace asio = boost::asio;
using boost::system::error_code;

template <class T = void>
using awaitable = asio::awaitable<T>;

constexpr auto as_result = asio::as_tuple(asio::deferred);

// Starts a coroutine of its own; what it throws is a bug, logged under `name`.
void spawn(asio::io_context& io, const char* name, awaitable<void> work);

}  // namespace gateway
