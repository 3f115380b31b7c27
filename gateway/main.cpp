// Arguments, configuration, build, run, exit code.
#include "advice/advice.hpp"
#include "advice/graphics.hpp"
#include "advice/store_place.hpp"
#include "base/log.hpp"
#include "gateway.hpp"
#include "job_actions.hpp"
#include "key_command.hpp"
#include "proxy-config/config.hpp"
#include "proxy-config/keys_file.hpp"
#include "top/watch.hpp"

#include <fcntl.h>
#include <openssl/ssl.h>
#ifdef GATEWAY_TCMALLOC
#include <gperftools/malloc_extension.h>
#endif
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
    read_keys_file(parsed.value.auth, parsed.mistakes);
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

// A standard descriptor that was closed would be given to a socket, and the log written into it.
void keep_standard_descriptors()
{
    int next = 0;
    do
        next = ::open("/dev/null", O_RDWR);
    while (next >= 0 && next <= STDERR_FILENO);
    ::close(next);
}

// Pages in which nothing stands any more go back to the kernel at once, or what limits.memory
// bounds would not be what the process has.
void give_pages_back()
{
#ifdef GATEWAY_TCMALLOC
    MallocExtension::instance()->SetNumericProperty("tcmalloc.aggressive_memory_decommit", 1);
#endif
}

// Memory can be refused (a cgroup's limit, RLIMIT_AS): what wanted it is over, the rest goes on.
void run(asio::io_context& io)
{
    for (;;) {
        try {
            io.run();
            return;
        } catch (const std::bad_alloc&) {
            log::error("memory was refused: what wanted it has ended");
        }
    }
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
    give_pages_back();
    log::open(settings->log.level, settings->log.format);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);  // a file limit is an error of the job store, not the end
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
        run(io);
        if (!all.all_written())
            return failed;
    } catch (const std::exception& e) {
        log::error("cannot go on", {{"why", e.what()}});
        log::flush();
        return failed;
    }
    return clean;
}

// The verbs of `jobs`, each with what may be said with it.
void add_jobs(CLI::App& to, jobs_wish& w, const std::function<void(CLI::App&)>& add_config)
{
    to.require_subcommand(1);
    struct verb {
        const char* name;
        const char* help;
        const char* takes;  // I: ids, F: a file, B: --batch, P: --priority, L: a page
    };
    for (const verb& v : std::initializer_list<verb>{
             {"list", "jobs, newest first", "BL"},
             {"show", "a job and its result", "I"},
             {"submit", "the jobs in a file, one JSON object on a line", "FBP"},
             {"results", "finished jobs with their results, as JSON lines, oldest first", "IB"},
             {"cancel", "end jobs that wait or run", "IB"},
             {"retry", "queue failed or cancelled jobs again", "IB"},
             {"reap", "begin again, or fail, what nobody runs; forget what is past retention",
              ""}}) {
        auto* s = to.add_subcommand(v.name, v.help);
        std::string takes = v.takes;
        auto has = [&](char what) { return takes.find(what) != std::string::npos; };
        add_config(*s);
        s->add_flag("--json", w.json, "for programs");
        if (has('I'))
            s->add_option("ID", w.ids, "jobs");
        if (has('F')) {
            s->add_option("FILE", w.file, "- is standard input")->required();
            s->add_flag("--wait", w.wait, "until the last one has finished");
        }
        if (has('B'))
            s->add_option("--batch", w.batch, "jobs of this batch")->type_name("NAME");
        if (has('P'))
            s->add_option("--priority", w.priority)
                ->check(CLI::IsMember({"background", "interactive"}));
        if (has('L')) {
            s->add_option("--status", w.status, "queued, running, succeeded, failed, cancelled");
            s->add_option("--limit", w.limit, "so many")->check(CLI::Range(1, 100'000));
            s->add_option("--cursor", w.cursor, "where another page ended");
        }
        s->callback([&w, name = v.name] { w.verb = name; });
    }
}

int jobs(const arguments& a, const jobs_wish& w)
{
    std::string file;
    auto parsed = read_configuration(a, file);
    if (!parsed.mistakes.empty())
        return tell_mistakes(parsed, file);
    return do_jobs(w, parsed.value);
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
    if (const auto& store = parsed.value.jobs.database)
        if (auto trouble = trouble_with_store_at(*store); !trouble.empty())
            std::cerr << "advice: jobs.database " << *store << ": " << trouble
                      << "; every job would be refused (503)\n";
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
    keep_standard_descriptors();
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
    key_wishes wanted;
    auto* keys = app.add_subcommand("key", "make keys for clients");
    keys->require_subcommand(1);
    auto* new_key =
        keys->add_subcommand("new", "make one: told once, and its line for the keys file");
    new_key->add_option("NAME", wanted.name, "whose it is")->required();
    new_key->add_option("--scope", wanted.may, "some of inference,jobs,management,admin")
        ->capture_default_str()
        ->type_name("SCOPE,…");
    new_key->add_option("--priority", wanted.priority, "background: yields to others")
        ->capture_default_str()
        ->type_name("WORD");
    auto* working = app.add_subcommand("jobs", "look at jobs, submit them, have them end");
    jobs_wish wish;
    add_jobs(*working, wish, add_config);
    auto* watching = app.add_subcommand("top", "show a running gateway, live; q quits");
    add_config(*watching);
    watching->add_option("--admin", a.admin, "its admin port")->type_name("ADDR");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? clean : bad_usage;
    }
    if (keys->parsed())
        return make_new_key(wanted);
    if (working->parsed())
        return jobs(a, wish);
    if (watching->parsed())
        return show_live(a);
    return checking->parsed() ? check(a) : serve(a);
}
