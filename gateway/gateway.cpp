#include "gateway.hpp"

#include "base/log.hpp"
#include "call/model_name.hpp"
#include "downstream/permission.hpp"
#include "downstream/request_id.hpp"
#include "proxy-config/fixed_while_running.hpp"
#include "service_manager.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

namespace gateway {

using namespace std::chrono_literals;

namespace {

constexpr const char* tunnel_warning =
    "calls come through a tunnel or proxy without keys: whoever reaches that may use the models";

std::shared_ptr<const session_rules> rules_of(std::shared_ptr<const config> settings)
{
    auto rules = std::make_shared<session_rules>();
    auto networks = [](const std::vector<std::string>& texts) {
        std::vector<network> all;
        for (const auto& t : texts)
            if (network n; parse_network(t, n))
                all.push_back(n);
        return all;
    };
    rules->trusted = networks(settings->clients.trusted_proxies);
    rules->admins = networks(settings->clients.admins);
    rules->hosts = settings->hosts;
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) == 0 && name[0] != 0)
        rules->hosts.emplace_back(name.data());
    rules->keys = key_ring(settings->auth.keys);
    rules->settings = std::move(settings);
    return rules;
}

std::vector<message_text> messages_of(const config& c)
{
    std::vector<message_text> all;
    for (const auto& [language, text] : c.queue.message)
        all.push_back({language, text});
    return all;
}

}  // namespace

// One upstream with everything that belongs to it.
struct whole_gateway::upstream_room {
    upstream_room(whole_gateway& all, place_id place)
        : pool(all.io_, all.names_, all.settings_->upstreams[place].url),
          health(all.io_, pool, all.settings_->upstreams[place].name),
          names({all.io_, pool, all.lore_, [&all] { return all.settings_; }, closing}),
          loaded({all.io_, pool, all.settings_->upstreams[place].name, place, names, all.counted_,
                  [&all] { return all.settings_; }, all.fleet_}),
          here{place, all.settings_->upstreams[place].name, pool, health, names, loaded}
    {
        health.on_change([&all, place](bool up) {
            if (all.fleet_.site_is(place, up))
                all.exchange_.upstreams_changed();
        });
    }

    upstream_pool pool;
    upstream_health health;
    stop closing;
    catalogue names;
    models loaded;
    site here;
};

whole_gateway::whole_gateway(asio::io_context& io, std::shared_ptr<const config> settings,
                             std::function<parsed_config()> read_again)
    : io_(io),
      settings_(std::move(settings)),
      read_again_(std::move(read_again)),
      rules_(rules_of(settings_)),
      memory_(settings_->limits.memory),
      names_(io),
      fleet_({io, counted_, [this] { return settings_; }}),
      generations_(io, {}, fleet_, place_id(settings_->upstreams.size())),
      embeddings_(io, {}, fleet_, place_id(settings_->upstreams.size())),
      exchange_(io, counted_, fleet_, generations_, embeddings_),
      clients_(io, memory_),
      admins_(io, memory_),
      job_pages_(open_jobs(), job_pages::port::open),
      all_jobs_(open_jobs(), job_pages::port::admin),
      queue_pages_({exchange_, fleet_, generations_, embeddings_}),
      admin_pages_({exchange_, fleet_, generations_, embeddings_, counted_, queue_pages_, all_jobs_,
                    clients_, admins_, memory_, draining_, started_, [this] { return settings_; },
                    [this] {
                        return job_runner_ ? job_runner_->amended(job_store_->counts())
                                           : job_counts();
                    },
                    [this] { return warnings(); }, [this] { return reload(); }, [this] { drain(); },
                    [this] { return addresses(); }}),
      beat_now_(io)
{
    exchange_.set_messages(messages_of(*settings_));
    fleet_.attach(generations_, embeddings_);
    for (place_id p = 0; p < settings_->upstreams.size(); ++p) {
        upstreams_.push_back(std::make_unique<upstream_room>(*this, p));
        fleet_.add(upstreams_.back()->here);
    }
    fleet_.configured();

    clients_.rules = admins_.rules = [this] { return rules_; };
    clients_.via = admins_.via = "ollama-gateway-" + random_id().substr(0, 12);
    clients_.calls = &exchange_;
    clients_.own = &queue_pages_;
    clients_.refused = [this](const refusal_note& n) {
        call_record r;
        r.id = n.id;
        r.client = n.client;
        r.where = n.where;
        r.model_label = "other";
        const bool left = n.why == fault_code::client_gone;
        r.how = left ? outcome::client_gone : outcome::refused;
        r.status = n.status;
        r.total_us = std::chrono::duration_cast<std::chrono::microseconds>(n.after).count();
        if (left)
            counted_.client_gone(phase::waiting, duration{}, false);
        else
            counted_.refused(word(n.why));
        counted_.ended(r);
        log_ended(r);
    };
    admins_.refused = [](const refusal_note& n) {
        log::warn("refused on the admin port",
                  {{"id", n.id}, {"client", n.client}, {"status", n.status}, {"why", word(n.why)}});
    };
    admins_.own = &admin_pages_;
    queue_pages_.hand_jobs_to(job_pages_);
    if (job_room_)
        clients_.jobs = &job_pages_;
    for (const auto& address : settings_->listen)
        listeners_.push_back(std::make_unique<listener>(clients_, address));
    admin_ = std::make_unique<listener>(admins_, settings_->admin_listen);
    clients_.pages_port = admin_->port();
}

whole_gateway::~whole_gateway() = default;

job_room* whole_gateway::open_jobs()
{
    if (!settings_->jobs.database)
        return nullptr;
    if (!job_room_) {
        job_store_.emplace(*settings_->jobs.database, 2s);
        job_runner_.emplace(job_runner::surroundings{
            io_, exchange_, *job_store_, memory_, [this] { return settings_; },
            [this](const job& j, job_request what) {
                return call_of(j, std::move(what), settings_, clients_.via, memory_);
            }});
        job_room_.emplace(
            job_room{*job_store_, *job_runner_, memory_, [this] { return settings_; }, draining_});
    }
    return &*job_room_;
}

reload_outcome whole_gateway::reload()
{
    reload_outcome outcome;
    auto read = read_again_();
    for (const auto& m : read.mistakes)
        outcome.notes.push_back(m.place + ": " + m.text);
    outcome.taken = read.mistakes.empty();
    counted_.reloaded(outcome.taken);
    if (!outcome.taken) {
        for (const auto& n : outcome.notes)
            log::error("the configuration was not taken", {{"mistake", n}});
        return outcome;
    }
    outcome.notes = keep_fixed(*settings_, read.value);
    auto known = warnings();
    settings_ = std::make_shared<const config>(std::move(read.value));
    rules_ = rules_of(settings_);
    memory_.set_most(settings_->limits.memory);
    exchange_.set_messages(messages_of(*settings_));
    log::open(settings_->log.level, settings_->log.format);
    fleet_.configured();
    log::info("the configuration was read again",
              {{"notes", outcome.notes.size()}, {"keys", rules_->keys.size()}});
    for (const auto& n : outcome.notes)
        log::warn(n);
    for (const auto& w : warnings())
        if (std::find(known.begin(), known.end(), w) == known.end())
            log::warn(w);
    return outcome;
}

void whole_gateway::start()
{
    for (auto& u : upstreams_) {
        spawn(io_, "health",
              u->health.watch([this] { return duration(settings_->reconcile.interval); },
                              [this] { return duration(settings_->reconcile.timeout); }));
        spawn(io_, "models", u->loaded.watch());
    }
    for (auto& l : listeners_)
        spawn(io_, "listener", l->run());
    spawn(io_, "admin listener", admin_->run());
    spawn(io_, "beat", beat());
    if (rules_->keys_asked())
        log::info("every request on the public port needs a key",
                  {{"keys", rules_->keys.size()}, {"exempt", settings_->auth.exempt.size()}});
    if (job_runner_)
        job_runner_->start();
    for (const auto& w : warnings())
        log::warn(w);
    service_manager::ready();
}

std::vector<std::string> whole_gateway::addresses() const
{
    std::vector<std::string> all;
    for (const auto& l : listeners_)
        all.push_back(l->address());
    return all;
}

std::vector<std::string> whole_gateway::warnings() const
{
    std::vector<std::string> all;
    const auto& auth = settings_->auth;
    bool open = open_to_all(*settings_);
    for (const auto& l : listeners_)
        if (open && !l->local_only())
            all.push_back("listening on " + l->address() +
                          " without keys: whoever reaches it may use the models");
    if (!admin_->local_only())
        all.push_back("the admin port listens on " + admin_->address() +
                      ": whoever reaches it reads the status");
    if (open && clients_.tunnel_seen)
        all.push_back(tunnel_warning);
    if (auth.keys_file && auth.keys.empty())
        all.push_back(*auth.keys_file + " holds no key: nobody may call");
    if (!auth.keys_note.empty())
        all.push_back(auth.keys_note);
    if (job_store_ && !job_store_->trouble().empty())
        all.push_back("the job store cannot be used: " + job_store_->trouble());
    return all;
}

// Twice a second: how late the loop is, the log's lines out, the service manager told.
awaitable<void> whole_gateway::beat()
{
    constexpr auto every = 100ms;
    bool tunnel_told = false;
    auto watchdog = service_manager::watchdog_interval();
    auto fed = steady::now();
    auto measured = steady::now();
    while (!over_) {
        auto due = steady::now() + every;
        co_await beat_now_.wait_until(due);
        auto now = steady::now();
        if (now - measured >= 500ms) {
            counted_.loop_lag(std::max(duration{}, now - due));
            admin_pages_.remember(now);
            measured = now;
        }
        if (clients_.tunnel_seen && open_to_all(*settings_) && !std::exchange(tunnel_told, true))
            log::warn(tunnel_warning);
        if (watchdog && now - fed >= *watchdog / 2) {
            service_manager::alive();
            fed = now;
        }
        log::flush();
    }
}

void whole_gateway::drain()
{
    if (std::exchange(draining_, true))
        return;
    spawn(io_, "drain", leave());
}

void whole_gateway::cut_all()
{
    exchange_.log_all_as_cut();
    for (auto* c : clients_.open)
        c->reset();
}

awaitable<void> whole_gateway::leave()
{
    service_manager::stopping();
    log::info("draining",
              {{"calls", exchange_.book().size()}, {"grace_s", settings_->drain.count() / 1000}});
    for (auto& l : listeners_)
        l->close();
    clients_.close_idle();
    exchange_.refuse_new();
    if (job_runner_) {
        // Running jobs go back to where they were: the next process takes them up.
        job_runner_->stop();
    }
    bool finished = co_await clients_.inside.empty(steady::now() + settings_->drain);
    if (!finished) {
        log::warn("the grace is over: ending what still runs",
                  {{"calls", exchange_.book().size()}});
        exchange_.end_all(stop_reason::draining);
        co_await clients_.inside.empty(steady::now() + 2s);
        for (auto* c : clients_.open)
            c->close();
        co_await clients_.inside.empty(steady::now() + 1s);
    }
    if (job_runner_)
        co_await job_runner_->stopped(steady::now() + 5s);
    fleet_.close();
    for (auto& u : upstreams_) {
        u->health.close();
        u->closing.request(stop_reason::draining, steady::now());
        u->loaded.close();
    }
    for (auto& u : upstreams_)
        co_await u->loaded.closed(steady::now() + 2s);
    admin_->close();
    admins_.close_idle();
    co_await admins_.inside.empty(steady::now() + 200ms);
    for (auto* c : admins_.open)
        c->close();
    co_await admins_.inside.empty(steady::now() + 1s);
    for (auto& u : upstreams_)
        u->pool.close_idle();
    over_ = true;
    beat_now_.tell();
    log::info("stopped");
    log::flush();
    if (stopped_)
        stopped_();
}

}  // namespace gateway
