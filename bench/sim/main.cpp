// ollama-sim: a simulated Ollama for tests and benchmarks. See README.md beside this file.
#include <sys/resource.h>
#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "bench/sim/server.hpp"

namespace {

// Durations and sizes as Ollama's users write them.
CLI::Validator is_duration([](std::string& text) { return sim::parse_go_duration(text).error; },
                           "DURATION");
CLI::Validator is_size(
    [](std::string& text) { return sim::parse_size(text) ? std::string() : "not a size: " + text; },
    "SIZE");
CLI::Validator is_model([](std::string& text) { return sim::parse_model(text).error; }, "MODEL");

void raise_descriptor_limit()
{
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

}  // namespace

int main(int argc, char** argv)
{
    sim::settings set;
    std::vector<std::string> models, registry;
    std::string vram = "0", keep_alive = "5m", unload = "10ms";

    CLI::App app("A simulated Ollama");
    app.add_option("--listen", set.listen, "address and port; port 0 is any free one")
        ->capture_default_str();
    app.add_option("--model", models,
                   "name[:tag][,size=,vram=,cache=,load=,prompt=,rate=,tokens=,embedding,tools=0,"
                   "thinking,ctx=,dim=,file=,pull=,family=,num_ctx=]; repeatable")
        ->check(is_model);
    app.add_option("--registry", registry, "a model that /api/pull finds; written like --model")
        ->check(is_model);
    app.add_option("--fault", set.faults,
                   "model:kind[:count][,after=,ms=,status=,size=,text=,path=]; repeatable");
    app.add_option("--vram", vram, "of all models together; 0: no end of it")->check(is_size);
    app.add_option("--num-parallel", set.scheduler.num_parallel, "OLLAMA_NUM_PARALLEL")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--max-queue", set.scheduler.max_queue, "OLLAMA_MAX_QUEUE")
        ->capture_default_str();
    app.add_option("--max-loaded", set.scheduler.max_loaded,
                   "OLLAMA_MAX_LOADED_MODELS; 0: no limit")
        ->capture_default_str();
    app.add_option("--keep-alive", keep_alive, "OLLAMA_KEEP_ALIVE")->check(is_duration);
    app.add_option("--unload-delay", unload, "from the unload to the model's absence")
        ->check(is_duration);
    app.add_option("--context-length", set.context_length, "OLLAMA_CONTEXT_LENGTH")
        ->capture_default_str();
    app.add_flag("--bug-leak-queued", set.scheduler.leak_queued,
                 "a request cancelled while queued for a load leaks its handler and socket");
    app.add_flag("--bug-slot-leak", set.slot_leak,
                 "an abort while a write is blocked costs the runner a slot");
    app.add_flag("--bug-evict-deadlock", set.scheduler.evict_deadlock,
                 "an explicit keep_alive takes back a pending eviction");
    app.add_flag("--fixed-time", set.fixed_time, "dates and durations are constants");
    app.add_flag("--stamp", set.stamp,
                 "the text of each token is the CLOCK_MONOTONIC nanosecond it was made in");
    app.add_option("--send-buffer", set.send_buffer, "bytes of SO_SNDBUF; 0 leaves it alone");
    app.add_option("--keep-requests", set.keep_requests, "how many /sim/requests shows")
        ->capture_default_str();
    app.add_option("--ollama-version", set.version, "what /api/version says")
        ->capture_default_str();
    auto* cert = app.add_option("--tls-cert", set.tls_cert, "PEM file; serves https");
    auto* key = app.add_option("--tls-key", set.tls_key, "PEM file");
    cert->needs(key);
    key->needs(cert);
    CLI11_PARSE(app, argc, argv);

    for (auto& text : models)
        set.models.push_back(sim::parse_model(text).model);
    for (auto& text : registry)
        set.registry.push_back(sim::parse_model(text).model);
    set.scheduler.vram = sim::parse_size(vram).value_or(0);
    auto keep = sim::parse_go_duration(keep_alive).value;
    set.scheduler.keep_alive = keep < sim::duration::zero() ? sim::forever : keep;
    set.scheduler.unload = sim::parse_go_duration(unload).value;

    raise_descriptor_limit();
    std::signal(SIGPIPE, SIG_IGN);
    sim::server server(std::move(set));
    auto wrong = server.open();
    if (!wrong.empty()) {
        std::cerr << "ollama-sim: " << wrong << '\n';
        return 1;
    }
    std::cout << "ollama-sim listening on " << server.url() << std::endl;
    server.stop_on_signals();
    server.run();
}
