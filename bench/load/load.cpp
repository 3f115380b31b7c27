// gateway-load: puts one kind of load on a proxy (or on gateway-origin directly) and prints one
// JSON object of what it measured. See bench/README.md.
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "bench/load/loop.hpp"
#include "bench/load/net.hpp"
#include "bench/load/settings.hpp"

namespace load {

namespace {

constexpr const char* usage =
    "usage: gateway-load MODE --target IP:PORT [--origin IP:PORT] [--cpu NAME=PID[,PID]]...\n"
    "                    [--header 'Name: value']... [--OPTION VALUE]...\n"
    "  calls     connections 1, duration 5, warmup 0.5, delay-ms 0\n"
    "  streams   streams 100, rate 50, duration 5, ramp 0.5, chunks 0 (0: one stream for the whole "
    "time)\n"
    "  aborts    phase streaming|first_byte|one_piece|queued, how rst|fin|half, count 320, at-once "
    "16,\n"
    "            together 0 (1: all of a batch in one moment)\n"
    "  waiting   clients 10000, duration 10, interval-ms 1000, queue-path /gateway/queue, spread 1 "
    "(distinct\n"
    "            X-Forwarded-For); the first --cpu process is the one whose memory is taken\n"
    "  handover  connections 8, duration 5, warmup 0.5, delay-ms 5\n"
    "Times are seconds unless the name says otherwise.\n";

sockaddr_in address(const std::string& text)
{
    auto parsed = parse_address(text);
    if (!parsed)
        give_up("not an address: '" + text + "'");
    return *parsed;
}

watched process(const std::string& text)
{
    auto equals = text.find('=');
    if (equals == text.npos)
        give_up("--cpu wants NAME=PID[,PID]");
    watched one{text.substr(0, equals), {}};
    for (auto* at = text.c_str() + equals; *at == '=' || *at == ',';) {
        char* end = nullptr;
        one.pids.push_back(pid_t(std::strtol(at + 1, &end, 10)));
        at = end;
    }
    return one;
}

}  // namespace

void give_up(const std::string& why)
{
    std::fprintf(stderr, "gateway-load: %s\n", why.c_str());
    std::exit(2);
}

settings::settings(int argc, char** argv)
{
    for (int i = 2; i < argc; i += 2) {
        std::string name = argv[i];
        if (!name.starts_with("--") || i + 1 >= argc)
            give_up("'" + name + "' is not an option with a value\n" + usage);
        name.erase(0, 2);
        std::string value = argv[i + 1];
        if (name == "cpu")
            processes.push_back(process(value));
        else if (name == "header")
            headers += value + "\r\n";
        else
            given_[name] = value;
    }
    target = address(text("target", ""));
    origin = given_.count("origin") ? address(text("origin", "")) : target;
}

double settings::number(const std::string& name, double otherwise)
{
    read_.insert(name);
    auto found = given_.find(name);
    if (found == given_.end())
        return otherwise;
    char* end = nullptr;
    auto value = std::strtod(found->second.c_str(), &end);
    if (end == found->second.c_str() || *end != 0)
        give_up("--" + name + " wants a number");
    return value;
}

std::string settings::text(const std::string& name, const std::string& otherwise)
{
    read_.insert(name);
    auto found = given_.find(name);
    return found == given_.end() ? otherwise : found->second;
}

void settings::all_read() const
{
    for (auto& [name, value] : given_)
        if (!read_.count(name))
            give_up("unknown option --" + name + "\n" + usage);
}

}  // namespace load

int main(int argc, char** argv)
{
    constexpr std::pair<const char*, load::report (*)(load::settings&)> modes[] = {
        {"calls", load::run_calls},
        {"streams", load::run_streams},
        {"aborts", load::run_aborts},
        {"waiting", load::run_waiting},
        {"handover", load::run_handover}};
    load::raise_descriptor_limit();
    for (auto& [name, run] : modes) {
        if (argc < 2 || std::string(argv[1]) != name)
            continue;
        load::settings with(argc, argv);
        std::puts(run(with).line().c_str());
        return 0;
    }
    std::fputs(load::usage, stderr);
    return 2;
}
