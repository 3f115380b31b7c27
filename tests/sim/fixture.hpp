// A simulated Ollama inside the test, with models fast enough for it.
#pragma once

#include "bench/sim/server.hpp"
#include "catch.hpp"
#include "client.hpp"

namespace sim_test {

using sim::json;

struct fixture {
    // The models are flags of --model; `change` alters the settings before the start.
    explicit fixture(std::vector<std::string> models = {"m,load=0s,prompt=0s,rate=0,tokens=5"},
                     void (*change)(sim::settings&) = nullptr)
    {
        sim::settings set;
        set.listen = "127.0.0.1:0";
        for (auto& text : models) {
            auto parsed = sim::parse_model(text);
            REQUIRE(parsed.error.empty());
            set.models.push_back(parsed.model);
        }
        if (change != nullptr)
            change(set);
        server = std::make_unique<sim::server>(std::move(set));
        REQUIRE(server->start() == "");
        port = server->port();
    }

    response ask(std::string_view method, std::string_view target, std::string_view body = {},
                 std::string_view fields = {})
    {
        return sim_test::ask(port, method, target, body, fields);
    }
    // A connection with a request on its way.
    client begin(std::string_view target, std::string_view body)
    {
        client c(port);
        c.request("POST", target, body);
        return c;
    }
    json stats() { return server->stats(); }
    json model_stats(const char* name) { return stats()["models"][name]; }
    bool loaded(std::string_view name)
    {
        auto shown = json::parse(ask("GET", "/api/ps").body);
        for (auto& m : shown["models"])
            if (m["name"] == name)
                return true;
        return false;
    }

    std::unique_ptr<sim::server> server;
    unsigned short port = 0;
};

}  // namespace sim_test
