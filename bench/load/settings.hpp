// The command line of gateway-load: one mode and `--name value` pairs.
#pragma once

#include <netinet/in.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "bench/load/figures.hpp"

namespace load {

class settings {
public:
    settings(int argc, char** argv);

    double number(const std::string& name, double otherwise);
    std::string text(const std::string& name, const std::string& otherwise);
    // Ends the program with a message when an option was given that nobody asked for.
    void all_read() const;

    sockaddr_in target{};
    sockaddr_in origin{};            // where the origin's log is; without --origin the target
    std::vector<watched> processes;  // --cpu NAME=PID[,PID…]
    std::string headers;             // --header "Name: value", whole lines

private:
    std::map<std::string, std::string> given_;
    std::set<std::string> read_;
};

// A usage or environment error: the message and the end.
[[noreturn]] void give_up(const std::string& why);

// The modes. Each measures, and returns what it found.
report run_calls(settings& with);
report run_streams(settings& with);
report run_aborts(settings& with);
report run_waiting(settings& with);
report run_handover(settings& with);

}  // namespace load
