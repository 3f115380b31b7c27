// The simulated Ollama: in a process of its own (main.cpp) or inside a test.
#pragma once

#include <memory>
#include <string>

#include "bench/sim/go_json.hpp"
#include "bench/sim/world.hpp"

namespace sim {

class server {
public:
    explicit server(settings set);
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    // Opens the listener; what is wrong, or empty.
    std::string open();
    // After open(): the port it got, and the address as a URL.
    unsigned short port() const;
    std::string url() const;

    // Before run(): SIGINT and SIGTERM stop it.
    void stop_on_signals();
    // Serves on the calling thread until stop().
    void run();
    // Opens and serves on a thread of its own; what is wrong, or empty.
    std::string start();
    // From any thread; waits for start()'s thread.
    void stop();

    // While start()ed, from any other thread: what the /sim endpoints do.
    json stats();
    json requests();
    void reset();
    std::string fault(json f);
    void clear_faults();
    void model(const std::string& flag);
    void restart(duration away);

private:
    struct inside;
    std::unique_ptr<inside> in_;
};

}  // namespace sim
