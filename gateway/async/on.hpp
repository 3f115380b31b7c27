// Work that blocks, on a thread of its own.
#pragma once

#include "async/words.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <type_traits>
#include <utility>

namespace gateway {

// Runs `f` on the pool; the caller resumes on its own executor. `f` runs to its end whatever
// becomes of the caller, so it owns what it uses.
template <class F>
awaitable<std::invoke_result_t<F>> on(asio::thread_pool& pool, F f)
{
    auto task = [](F work) -> awaitable<std::invoke_result_t<F>> { co_return work(); };
    co_return co_await asio::co_spawn(pool.get_executor(), task(std::move(f)), asio::use_awaitable);
}

}  // namespace gateway
