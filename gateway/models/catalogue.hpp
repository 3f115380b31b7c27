// Which models an upstream has: /api/tags as it last said, and what /api/show tells of those that
// are called, asked once per content.
#pragma once

#include "async/event.hpp"
#include "async/stop.hpp"
#include "models/estimate.hpp"
#include "models/listing.hpp"
#include "proxy-config/config.hpp"
#include "upstream/pool.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

// What is the same at every upstream: contents are known by their digests.
struct model_lore {
    std::map<std::string, model_facts, std::less<>> by_digest;  // of the manifest
    // Ollama keeps one runner per blob (ollama.md §0.7): the name it is known by here is the first
    // one that was seen for it, and stays so.
    std::map<std::string, std::string, std::less<>> name_of_blob;
    std::uint64_t changes = 1;  // so often something was added
};

class catalogue {
public:
    struct surroundings {
        asio::io_context& io;
        upstream_pool& pool;
        model_lore& lore;
        std::function<std::shared_ptr<const config>()> settings;
        stop& closing;
    };
    explicit catalogue(surroundings s) : with_(s) {}

    enum class listed : std::uint8_t { yes, no, unknown };
    // Does the upstream have this model (canonical name)? Asks again when it did not, at most once
    // a second. After a yes its facts have been asked for.
    awaitable<listed> find(std::string model);
    // Would find() say yes without asking anybody?
    bool knows(std::string_view model) const;
    // As far as is known, without asking.
    bool lists(std::string_view model) const { return tags_.find(model) != tags_.end(); }
    bool known() const { return known_; }
    // Models may have come or gone: the next find() asks.
    void forget() { asked_at_ = instant::min(); }
    // Asks for the list if it is older than that.
    awaitable<void> refresh(duration older_than);

    // The name under which a model's runner is known: its own, or another one on the same blob.
    std::string runner_of(std::string_view model) const;
    // All that is known of a listed model, without asking.
    struct known_model {
        listed_model as_listed;
        bool learned = false;                 // nothing is left to be asked of it
        const model_facts* facts = nullptr;   // what /api/show said; null: not known (yet)
        const std::string* runner = nullptr;  // as runner_of()
        std::uint64_t as_of = 0;              // model_lore::changes when these three were looked up
    };
    // Null when it is not listed. Until the next wait.
    const known_model* look(std::string_view model) const;
    // What /api/show said; null when it is not known (yet).
    const model_facts* facts(std::string_view model) const;
    // Of its files, bytes; 0 when not known.
    std::uint64_t file_size(std::string_view model) const;
    awaitable<void> learn(std::string model);

private:
    const known_model& up_to_date(known_model& m) const;

    surroundings with_;
    mutable std::map<std::string, known_model, std::less<>> tags_;
    bool known_ = false;
    instant asked_at_ = instant::min();
    std::shared_ptr<event> asking_;  // while the list is being asked for
};

}  // namespace gateway
