#include "gateway.hpp"

#include "base/log.hpp"
#include "call/model_name.hpp"
#include "downstream/request_id.hpp"
#include "service_manager.hpp"

#include <unistd.h>

#include <array>

namespace gateway {

using namespace std::chrono_literals;

namespace {

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
    rules->settings = std::move(settings);
    return rules;
}

// What was asked for and cannot change while running: told, and kept as it was.
std::vector<std::string> keep_fixed(const config& now, config& next)
{
    std::vector<std::string> notes;
    auto keep = [&](auto& wanted, const auto& is, const char* place) {
        if (wanted == is)
            return;
        wanted = is;
        notes.push_back(std::string(place) + " changes with the next start");
    };
    keep(next.listen, now.listen, "listen");
    keep(next.admin_listen, now.admin_listen, "admin.listen");
    keep(next.upstreams.front().name, now.upstreams.front().name, "upstreams[0].name");
    keep(next.upstreams.front().url, now.upstreams.front().url, "upstreams[0].url");
    return notes;
}

std::vector<message_text> messages_of(const config& c)
{
    std::vector<message_text> all;
    for (const auto& [language, text] : c.queue.message)
        all.push_back({language, text});
    return all;
}

}  // namespace

turnstile::limits whole_gateway::limits_of(unsigned capacity) const
{
    const auto& q = settings_->queue;
    return {capacity, q.max_waiting, q.max_waiting_per_client, q.max_wait};
}

whole_gateway::whole_gateway(asio::io_context& io, std::shared_ptr<const config> settings,
                             std::function<parsed_config()> read_again)
    : io_(io),
      settings_(std::move(settings)),
      read_again_(std::move(read_again)),
      rules_(rules_of(settings_)),
      memory_(settings_->limits.memory),
      names_(io),
      pool_(io, names_, settings_->upstreams.front().url),
      health_(io, pool_, settings_->upstreams.front().name),
      generations_(io, limits_of(settings_->upstreams.front().max_concurrent)),
      embeddings_(io, limits_of(settings_->upstreams.front().max_concurrent_embeddings)),
      models_({io, pool_, settings_->upstreams.front().name, counted_, [this] { return settings_; },
               [this](const std::string& model, bool blocked) {
                   for (auto* pool : {&generations_, &embeddings_})
                       blocked ? pool->block(model) : pool->unblock(model);
               }}),
      site_{settings_->upstreams.front().name, pool_, health_, models_, generations_, embeddings_},
      exchange_(io, counted_, site_),
      clients_(io, memory_),
      admins_(io, memory_),
      queue_pages_(exchange_, site_, draining_),
      admin_pages_({exchange_, site_, counted_, queue_pages_, clients_, admins_, memory_, draining_,
                    started_, [this] { return warnings(); }, [this] { return reload(); },
                    [this] { drain(); }, [this] { return addresses(); }}),
      beat_now_(io)
{
    exchange_.set_messages(messages_of(*settings_));
    apply_limits();
    health_.on_change([this](bool up) {
        generations_.open(up);
        embeddings_.open(up);
    });

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
        r.how = outcome::refused;
        r.status = n.status;
        counted_.ended(r);
        log_ended(r);
    };
    admins_.own = &admin_pages_;
    for (const auto& address : settings_->listen)
        listeners_.push_back(std::make_unique<listener>(clients_, address));
    admin_ = std::make_unique<listener>(admins_, settings_->admin_listen);
    clients_.pages_port = admin_->port();
}

whole_gateway::~whole_gateway() = default;

void whole_gateway::apply_limits()
{
    const auto& up = settings_->upstreams.front();
    generations_.set_limits(limits_of(up.max_concurrent));
    embeddings_.set_limits(limits_of(up.max_concurrent_embeddings));
    for (const auto& [name, m] : settings_->models)
        for (auto* pool : {&generations_, &embeddings_})
            pool->limit_model(canonical_model(name), m.max_concurrent);
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
    // A limit that stands there no longer is none.
    for (const auto& [name, m] : settings_->models)
        if (read.value.models.count(name) == 0)
            for (auto* pool : {&generations_, &embeddings_})
                pool->limit_model(canonical_model(name), 0);
    settings_ = std::make_shared<const config>(std::move(read.value));
    rules_ = rules_of(settings_);
    memory_.set_most(settings_->limits.memory);
    exchange_.set_messages(messages_of(*settings_));
    log::open(settings_->log.level, settings_->log.format);
    apply_limits();
    log::info("the configuration was read again", {{"notes", outcome.notes.size()}});
    for (const auto& n : outcome.notes)
        log::warn(n);
    return outcome;
}

void whole_gateway::start()
{
    spawn(io_, "health",
          health_.watch([this] { return duration(settings_->reconcile.interval); },
                        [this] { return duration(settings_->reconcile.timeout); }));
    spawn(io_, "models", models_.watch());
    for (auto& l : listeners_)
        spawn(io_, "listener", l->run());
    spawn(io_, "admin listener", admin_->run());
    spawn(io_, "beat", beat());
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
    for (const auto& l : listeners_)
        if (!l->local_only())
            all.push_back("listening on " + l->address() +
                          " without keys: whoever reaches it may use the models");
    if (!admin_->local_only())
        all.push_back("the admin port listens on " + admin_->address() +
                      ": whoever reaches it reads the status");
    if (clients_.tunnel_seen)
        all.push_back(
            "calls come through a tunnel or proxy without keys: whoever reaches that may use"
            " the models");
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
        if (clients_.tunnel_seen && !std::exchange(tunnel_told, true))
            log::warn(warnings().back());
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
    health_.close();
    models_.close();
    co_await models_.closed(steady::now() + 2s);
    admin_->close();
    admins_.close_idle();
    co_await admins_.inside.empty(steady::now() + 200ms);
    for (auto* c : admins_.open)
        c->close();
    co_await admins_.inside.empty(steady::now() + 1s);
    pool_.close_idle();
    over_ = true;
    beat_now_.tell();
    log::info("stopped");
    log::flush();
    if (stopped_)
        stopped_();
}

}  // namespace gateway
