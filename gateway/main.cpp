// Arguments, configuration, build, run, exit code.
#include "advice/advice.hpp"
#include "advice/graphics.hpp"
#include "base/log.hpp"
#include "gateway.hpp"
#include "proxy-config/config.hpp"
#include "top/watch.hpp"

#include <openssl/ssl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

namespace {

using namespace gateway;

constexpr int clean = 0;
constexpr int failed = 1;
constexpr int bad_usage = 2;

struct arguments {
    std::string config_file;
    std::vector<std::string> listen;
    std::string admin;
    std::vector<std::string> upstreams;
    std::string max_concurrent;
    std::string log_level;
    std::string log_format;
};

std::string joined(const std::vector<std::string>& parts)
{
    std::string all;
    for (const auto& p : parts)
        all += (all.empty() ? "" : ",") + p;
    return all;
}

// Flags over the environment, the environment over the file, the file over the defaults.
parsed_config read_configuration(const arguments& a, std::string& file)
{
    parsed_config bad;
    file = a.config_file;
    if (const char* named = std::getenv("OLLAMA_GATEWAY_CONFIG"); file.empty() && named != nullptr)
        file = named;
    std::string text;
    if (!file.empty()) {
        std::ifstream in(file, std::ios::binary);
        std::ostringstream all;
        all << in.rdbuf();
        if (!in || std::filesystem::is_directory(file)) {
            bad.mistakes.push_back({file, "cannot be read"});
            return bad;
        }
        text = all.str();
        if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
            // Half written, more likely than meant: the defaults need no file.
            bad.mistakes.push_back({file, "is empty"});
            return bad;
        }
    }
    std::vector<config_mistake> mistakes;
    auto overrides = overrides_from_environment(environ, mistakes);
    auto flag = [&](const char* path, const std::string& value, const char* name) {
        if (!value.empty())
            overrides.push_back({path, value, name});
    };
    flag("listen", joined(a.listen), "--listen");
    flag("admin.listen", a.admin, "--admin");
    flag("upstreams", joined(a.upstreams), "--upstream");
    flag("max_concurrent", a.max_concurrent, "--max-concurrent");
    flag("log.level", a.log_level, "--log-level");
    flag("log.format", a.log_format, "--log-format");
    auto parsed = parse_config(text, overrides);
    parsed.mistakes.insert(parsed.mistakes.begin(), mistakes.begin(), mistakes.end());
    return parsed;
}

int tell_mistakes(const parsed_config& parsed, const std::string& file)
{
    std::cerr << "ollama-gateway: the configuration" << (file.empty() ? "" : " " + file) << " has "
              << parsed.mistakes.size()
              << (parsed.mistakes.size() == 1 ? " mistake:\n" : " mistakes:\n");
    for (const auto& m : parsed.mistakes)
        std::cerr << "  " << m.place << ": " << m.text << "\n";
    return bad_usage;
}

// A connection and its upstream's; and some for the rest.
void raise_descriptor_limit(std::size_t connections)
{
    rlim_t wanted = connections * 2 + 128;
    rlimit now{};
    ::getrlimit(RLIMIT_NOFILE, &now);
    if (now.rlim_cur >= wanted)
        return;
    rlimit raised{wanted, std::max(now.rlim_max, wanted)};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0)
        return;
    raised = {std::min(now.rlim_max, wanted), now.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &raised);
    log::warn("the descriptor limit could not be raised to what limits.connections needs",
              {{"wanted", wanted}, {"limit", raised.rlim_cur}});
}

int serve(const arguments& a)
{
    std::string file;
    auto parsed = read_configuration(a, file);
    if (!parsed.mistakes.empty())
        return tell_mistakes(parsed, file);
    auto settings = std::make_shared<const config>(std::move(parsed.value));
    log::open(settings->log.level, settings->log.format);
    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit(settings->limits.connections);

    asio::io_context io{1};
    try {
        whole_gateway all(io, settings, [&a] {
            std::string ignored;
            return read_configuration(a, ignored);
        });
        asio::signal_set signals(io, SIGTERM, SIGINT);
        std::function<void(error_code, int)> on_signal = [&](error_code ec, int) {
            if (ec)
                return;
            if (all.draining()) {
                all.cut_all();
                log::warn("a second signal: ending at once");
                log::flush();
                std::_Exit(failed);
            }
            all.drain();
            signals.async_wait(on_signal);
        };
        signals.async_wait(on_signal);
        asio::signal_set hangups(io, SIGHUP);
        std::function<void(error_code, int)> on_hangup = [&](error_code ec, int) {
            if (ec)
                return;
            all.reload();
            hangups.async_wait(on_hangup);
        };
        hangups.async_wait(on_hangup);
        all.start();
        log::info("serving", {{"version", GATEWAY_VERSION},
                              {"listen", joined(all.addresses())},
                              {"admin", all.admin_address()},
                              {"upstream", settings->upstreams.front().url}});
        log::flush();
        all.on_stopped([&] {
            signals.cancel();
            hangups.cancel();
        });
        io.run();
    } catch (const std::exception& e) {
        log::error("cannot go on", {{"why", e.what()}});
        log::flush();
        return failed;
    }
    return clean;
}

int check(const arguments& a)
{
    std::string file;
    auto parsed = read_configuration(a, file);
    if (!parsed.mistakes.empty())
        return tell_mistakes(parsed, file);
    std::cout << to_json(parsed.value) << "\n" << std::flush;
    for (const auto& a : advice(parsed.value, graphics_cards()))
        std::cerr << "advice: " << a << "\n";
    return clean;
}

// Without --admin it asks where the configuration says that the admin port is.
int show_live(const arguments& a)
{
    auto admin = a.admin;
    if (admin.empty()) {
        std::string file;
        auto parsed = read_configuration(a, file);
        if (!parsed.mistakes.empty())
            return tell_mistakes(parsed, file);
        admin = parsed.value.admin_listen;
    }
    return top::watch(admin);
}

}  // namespace

int main(int argc, char** argv)
{
    CLI::App app{
        "ollama-gateway: a fair queue in front of Ollama that stops work when a client leaves"};
    app.set_version_flag("--version", std::string("ollama-gateway ") + GATEWAY_VERSION);
    app.require_subcommand(0, 1);
    arguments a;
    auto add_config = [&](CLI::App& to) {
        to.add_option("--config", a.config_file, "configuration file (JSON)")->type_name("FILE");
    };
    auto add_flags = [&](CLI::App& to) {
        add_config(to);
        to.add_option("--listen", a.listen, "where clients reach it (repeatable)")
            ->type_name("ADDR");
        to.add_option("--admin", a.admin, "where metrics and status are")->type_name("ADDR");
        to.add_option("--upstream", a.upstreams, "the Ollama to ask")->type_name("URL");
        to.add_option("--max-concurrent", a.max_concurrent, "generations at once")->type_name("N");
        to.add_option("--log-level", a.log_level, "trace, debug, info, warn or error");
        to.add_option("--log-format", a.log_format, "text or json");
    };
    add_flags(app);
    auto* serving = app.add_subcommand("serve", "run the gateway (the default)");
    add_flags(*serving);
    auto* checking = app.add_subcommand(
        "check", "show the effective configuration and advice, or every mistake");
    add_config(*checking);
    auto* watching = app.add_subcommand("top", "show a running gateway, live; q quits");
    add_config(*watching);
    watching->add_option("--admin", a.admin, "its admin port")->type_name("ADDR");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? clean : bad_usage;
    }
    if (watching->parsed())
        return show_live(a);
    return checking->parsed() ? check(a) : serve(a);
}
