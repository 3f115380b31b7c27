#include "jobs/store_thread.hpp"

#include "base/log.hpp"

#include <random>

namespace gateway {

using namespace std::chrono_literals;

namespace {

std::int64_t random_number()
{
    std::random_device bits;
    auto high = std::uint64_t(bits()) << 32;
    return static_cast<std::int64_t>((high | bits()) >> 2) + 1;
}

}  // namespace

store_thread::store_thread(std::string path, std::chrono::milliseconds patience)
    : kept_(std::make_shared<keeper>(path)), runner_(random_number())
{
    kept_->patience = patience;
    kept_->locks.hold(runner_);
}

store_thread::~store_thread()
{
    pool_.join();
}

// Not tried more often than once a second: a file that is broken stays so for a while.
job_store* store_thread::keeper::opened()
{
    if (store)
        return store.get();
    if (opened_so_often++ != 0 && steady::now() - tried < 1s)
        return nullptr;
    tried = steady::now();
    auto got = job_store::open(path, patience, locks);
    if (got)
        store = std::move(*got);
    else
        why = got.error();
    return store.get();
}

void store_thread::keeper::look(const std::optional<store_error>& failed, std::optional<view>& seen)
{
    if (failed) {
        if (failed->what == store_error::kind::unusable && store) {
            why = *failed;
            store.reset();
            tried = steady::now();
        }
        return;
    }
    auto counts = store->counts();
    if (counts)
        seen = view{*counts, store->stamp(), store->healthy()};
}

void store_thread::note(const std::optional<view>& seen, const std::optional<store_error>& failed)
{
    if (seen)
        seen_ = *seen;
    if (failed) {
        if (trouble_.empty())
            log::warn("the job store cannot be used", {{"why", failed->text}});
        trouble_ = failed->text;
    } else if (seen && seen->healthy && !trouble_.empty()) {
        log::info("the job store can be used again");
        trouble_.clear();
    }
}

}  // namespace gateway
