#include "upstream/health.hpp"

#include "base/log.hpp"
#include "upstream/ollama.hpp"

#include <algorithm>

namespace gateway {

using namespace std::chrono_literals;

upstream_health::upstream_health(asio::io_context& io, upstream_pool& pool, std::string name)
    : io_(io), pool_(pool), name_(std::move(name)), look_(io)
{
}

awaitable<void> upstream_health::watch(std::function<duration()> every,
                                       std::function<duration()> timeout)
{
    while (!closing_) {
        bool doubted = std::exchange(doubted_, false);
        auto began = steady::now();
        auto answer = co_await ask(io_, pool_, "GET", "/api/version", "", timeout(), &asking_);
        if (closing_)
            break;
        // Any answer shows that a server lives there; only 5xx and silence, of its calls too, say
        // that it does not serve.
        bool up = answer ? answer->status < 500 : heard_ >= began;
        auto why = up       ? std::string()
                   : answer ? "/api/version answered " + std::to_string(answer->status)
                            : answer.error().message;
        probed_ = true;
        set(up, why, doubted);
        auto pause = up_ ? every() : std::min<duration>(every(), 1s);
        co_await look_.wait_until(steady::now() + pause);
    }
}

void upstream_health::close()
{
    closing_ = true;
    asking_.request(stop_reason::draining, steady::now());
    look_.tell();
}

void upstream_health::refused(const std::string& why)
{
    set(false, why);
    look_.tell();
}

void upstream_health::doubt()
{
    doubted_ = true;
    look_.tell();
}

void upstream_health::set(bool up, const std::string& why, bool doubted)
{
    why_ = why;
    if (up == up_) {
        if (doubted && changed_)
            changed_(up);
        return;
    }
    up_ = up;
    since_ = steady::now();
    if (!up) {
        pool_.close_idle();
        pool_.forget_addresses();
        log::warn("upstream down", {{"upstream", name_}, {"why", why}});
    } else {
        log::info("upstream up", {{"upstream", name_}});
    }
    if (changed_)
        changed_(up);
}

}  // namespace gateway
