// The job store on a thread of its own, so that no disk holds up the event loop: opened there,
// opened anew when it has become unusable, one operation after another.
#pragma once

#include "async/on.hpp"
#include "base/clock.hpp"
#include "jobs/store.hpp"

#include <exception>
#include <memory>
#include <string>

namespace gateway {

class store_thread {
public:
    // `path`: of the file.
    store_thread(std::string path, std::chrono::milliseconds patience);
    ~store_thread();  // waits for what runs
    store_thread(const store_thread&) = delete;
    store_thread& operator=(const store_thread&) = delete;

    // What `f` makes of the store. Its error, when there is no store to work on.
    template <class F>
    awaitable<std::invoke_result_t<F, job_store&>> ask(F f)
    {
        using answer = std::invoke_result_t<F, job_store&>;
        auto work = [kept = kept_, f = std::move(f)]() mutable {
            told<answer> t;
            try {
                if (auto* s = kept->opened())
                    t.answer.emplace(f(*s));
                else
                    t.answer.emplace(kept->why);
                kept->look(error_of(*t.answer), t.seen);
            } catch (const std::exception& e) {
                // Out of memory, in all likelihood: the store itself has been rolled back.
                t.answer.emplace(store_error{store_error::kind::passing, e.what()});
            }
            return t;
        };
        auto t = co_await on(pool_, std::move(work));
        note(t.seen, error_of(*t.answer));
        co_return std::move(*t.answer);
    }

    // As of the last operation:
    const job_counts& counts() const { return seen_.counts; }
    // Another value after each change, by whomever.
    std::uint64_t stamp() const { return seen_.stamp; }
    // Why it cannot be written; empty while it can. What fails to be written stays so until
    // something is.
    const std::string& trouble() const { return trouble_; }

    // This process, as the store and its other users know it.
    std::int64_t runner() const { return runner_; }

private:
    struct view {
        job_counts counts;
        std::uint64_t stamp = 0;
        bool healthy = true;
    };
    template <class Answer>
    struct told {
        std::optional<Answer> answer;
        std::optional<view> seen;
    };
    // Of the worker thread alone.
    struct keeper {
        std::string path;
        std::chrono::milliseconds patience{};
        runner_locks locks;
        std::unique_ptr<job_store> store;
        store_error why;
        instant tried{};
        std::uint64_t opened_so_often = 0;

        explicit keeper(const std::string& p) : path(p), locks(p) {}
        job_store* opened();
        void look(const std::optional<store_error>& failed, std::optional<view>& seen);
    };
    template <class T>
    static std::optional<store_error> error_of(const store_result<T>& r)
    {
        return r ? std::nullopt : std::optional(r.error());
    }
    void note(const std::optional<view>& seen, const std::optional<store_error>& failed);

    std::shared_ptr<keeper> kept_;
    std::int64_t runner_;
    view seen_;
    std::string trouble_;
    asio::thread_pool pool_{1};
};

}  // namespace gateway
