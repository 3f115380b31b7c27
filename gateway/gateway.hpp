// Owns every room, in the order they are built, and introduces them to each other: the only file
// that knows everybody.
#pragma once

#include "admin/admin_pages.hpp"
#include "admin/job_pages.hpp"
#include "admin/queue_pages.hpp"
#include "downstream/listener.hpp"
#include "exchange/exchange.hpp"
#include "models/fleet.hpp"
#include "upstream/address.hpp"

#include <memory>
#include <string>
#include <vector>

namespace gateway {

class whole_gateway {
public:
    // Throws std::runtime_error when it cannot listen.
    // `read_again`: the configuration as it stands now in file, environment and flags, for a
    // reload.
    whole_gateway(asio::io_context& io, std::shared_ptr<const config> settings,
                  std::function<parsed_config()> read_again);
    ~whole_gateway();

    // Everything begins; returns at once. What must be waited for runs in the io_context.
    void start();
    // SIGTERM: no new calls; running ones finish within `drain`, waiting ones are refused. The
    // io_context's run() returns when it is over.
    void drain();
    // A second signal: every open answer is cut by a reset, so that none looks complete, and every
    // call that runs has its line in the log.
    void cut_all();
    bool draining() const { return draining_; }
    // Told once, when draining is over and nothing runs any more.
    void on_stopped(std::function<void()> f) { stopped_ = std::move(f); }
    // Once stopped: was everything written down that had to be?
    bool all_written() const { return !job_runner_ || job_runner_->all_written(); }

    // Reads the configuration again: a good one holds for new calls, running ones are not touched;
    // a bad one changes nothing. What cannot change while running is said.
    reload_outcome reload();

    std::vector<std::string> addresses() const;
    std::string admin_address() const { return admin_->address(); }
    std::vector<std::string> warnings() const;

private:
    awaitable<void> beat();
    awaitable<void> leave();
    struct upstream_room;  // one upstream with everything that belongs to it
    job_room* open_jobs();

    asio::io_context& io_;
    std::shared_ptr<const config> settings_;
    std::function<parsed_config()> read_again_;
    std::shared_ptr<const session_rules> rules_;
    instant started_ = steady::now();
    bool draining_ = false;

    memory_budget memory_;
    metrics counted_;
    resolver names_;
    model_lore lore_;
    fleet fleet_;
    admission generations_;
    admission embeddings_;
    std::vector<std::unique_ptr<upstream_room>> upstreams_;
    exchange exchange_;

    // None without `jobs.database`.
    std::optional<store_thread> job_store_;
    std::optional<job_runner> job_runner_;
    std::optional<job_room> job_room_;

    session_host clients_;
    session_host admins_;
    job_pages job_pages_;
    job_pages all_jobs_;
    queue_pages queue_pages_;
    admin_pages admin_pages_;
    std::vector<std::unique_ptr<listener>> listeners_;
    std::unique_ptr<listener> admin_;
    event beat_now_;
    bool over_ = false;
    std::function<void()> stopped_;
};

}  // namespace gateway
