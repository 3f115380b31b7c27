#include "job_actions.hpp"

#include "admin/job_submission.hpp"
#include "base/text.hpp"
#include "downstream/request_id.hpp"
#include "jobs/job_json.hpp"
#include "jobs/store.hpp"
#include "jobs/unix_time.hpp"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <thread>

namespace gateway {

using namespace std::chrono_literals;

namespace {

constexpr int done = 0;
constexpr int failed = 1;
constexpr int bad_usage = 2;
const job_scope all{true, {}};

int complain(int code, const std::string& why)
{
    std::cerr << "ollama-gateway jobs: " << why << "\n";
    return code;
}

// On standard error, where somebody looks.
class progress_bar {
public:
    explicit progress_bar(std::size_t of) : of_(of), seen_(::isatty(STDERR_FILENO) == 1) {}
    ~progress_bar()
    {
        if (seen_)
            std::cerr << "\n";
    }
    void at(std::size_t n, const std::string& more = {})
    {
        constexpr std::size_t width = 40;
        if (!seen_)
            return;
        auto filled = of_ == 0 ? width : n * width / of_;
        std::cerr << "\r[" << std::string(filled, '#') << std::string(width - filled, '.') << "] "
                  << n << "/" << of_ << more << "\x1b[K" << std::flush;
    }

private:
    std::size_t of_;
    bool seen_;
};

// "12s", "5m", "3h", "2d"
std::string how_long(std::int64_t ms)
{
    auto s = std::max<std::int64_t>(0, ms) / 1000;
    if (s < 120)
        return std::to_string(s) + "s";
    if (s < 7200)
        return std::to_string(s / 60) + "m";
    return s < 172'800 ? std::to_string(s / 3600) + "h" : std::to_string(s / 86'400) + "d";
}

// What comes from files and clients, on a terminal.
std::string shown(std::string_view text, std::size_t most = 200)
{
    auto s = to_valid_utf8(text.substr(0, most));
    for (auto& c : s)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            c = ' ';
    return s;
}

class actions {
public:
    actions(const jobs_wish& w, const config& c, job_store& s) : wish_(w), config_(c), store_(s)
    {
        for (const auto& id : w.ids)
            ids_.push_back(to_lower(id));
    }

    int list()
    {
        job_filter f{all, job_state_of(wish_.status), {}};
        if (!wish_.status.empty() && !f.state)
            return complain(bad_usage, "--status: queued, running, succeeded, failed or cancelled");
        if (!wish_.batch.empty())
            f.batch = wish_.batch;
        auto cursor = parse_uint(wish_.cursor.empty() ? "0" : wish_.cursor, INT64_MAX);
        if (!cursor)
            return complain(bad_usage, "--cursor: is the next_cursor of another page");
        auto page = store_.list(f, wish_.limit, std::int64_t(*cursor));
        if (!page)
            return complain(failed, page.error().text);
        if (wish_.json) {
            std::cout << job_list_json(*page) << "\n";
            return done;
        }
        auto now = unix_ms();
        std::cout << std::left << std::setw(34) << "ID" << std::setw(11) << "STATUS" << std::setw(6)
                  << "AGE" << std::setw(6) << "TOOK" << std::setw(5) << "TRY" << std::setw(24)
                  << "MODEL" << std::setw(18) << "BATCH"
                  << "ERROR\n";
        for (const auto& j : page->jobs) {
            auto took = j.started_at ? how_long(j.finished_at.value_or(now) - *j.started_at) : "";
            std::cout << std::setw(34) << j.id << std::setw(11) << word(told_state(j))
                      << std::setw(6) << how_long(now - j.created_at) << std::setw(6) << took
                      << std::setw(5) << j.life.attempt << std::setw(24) << shown(j.model, 23)
                      << std::setw(18) << shown(j.batch.value_or(""), 17)
                      << shown(j.error.value_or(""), 60) << "\n";
        }
        if (page->cursor != 0)
            std::cout << "more: --cursor " << page->cursor << "\n";
        return done;
    }

    int show()
    {
        int code = done;
        for (const auto& id : ids_) {
            auto got = store_.with_answer(id, all);
            if (!got)
                return complain(failed, got.error().text);
            if (!*got) {
                code = complain(failed, "no job " + shown(id));
                continue;
            }
            if (wish_.json)
                std::cout << job_json((*got)->what, (*got)->answer) << "\n";
            else
                for_people(**got);
        }
        return code;
    }

    int submit();
    int results();

    int each(job_answer (actions::*act)(const std::string&), const char* what)
    {
        std::size_t good = 0;
        int code = done;
        for (const auto& id : ids_) {
            auto answer = (this->*act)(id);
            if (!error_.empty())
                return complain(failed, error_);
            bool done_it = answer == job_answer::done || answer == job_answer::asked;
            good += done_it;
            if (answer == job_answer::unknown)
                code = complain(failed, "no job " + shown(id));
            else if (!done_it)
                code = complain(failed, "job " + shown(id) + " is not in a state for that");
        }
        auto in_batch = each_of_batch([&](const job& j) {
            auto answer = (this->*act)(j.id);
            good += answer == job_answer::done || answer == job_answer::asked;
            return error_.empty();
        });
        if (!in_batch)
            return complain(failed, error_);
        if (wish_.json)
            std::cout << "{\"" << what << "\":" << good << "}\n";
        else
            std::cout << what << ": " << good << "\n";
        return code;
    }
    job_answer cancel(const std::string& id) { return noted(store_.cancel(id, all, unix_ms())); }
    job_answer retry(const std::string& id) { return noted(store_.retry(id, all)); }

    int reap()
    {
        auto found = store_.sweep(0, {}, unix_ms(), config_.jobs.max_attempts);
        if (!found)
            return complain(failed, found.error().text);
        // A server that runs knows of its own jobs what nobody else can.
        if (auto asked = store_.ask_sweep(); !asked)
            return complain(failed, asked.error().text);
        std::size_t forgotten = 0;
        constexpr unsigned at_once = 500;
        auto before = unix_ms() - config_.jobs.retention.count();
        for (std::size_t n = at_once; n == at_once && config_.jobs.retention.count() != 0;) {
            auto gone = store_.forget(before, at_once);
            if (!gone)
                return complain(failed, gone.error().text);
            forgotten += n = *gone;
        }
        if (wish_.json)
            std::cout << "{\"begun_again\":" << found->again << ",\"failed\":" << found->failed
                      << ",\"cancelled\":" << found->cancelled << ",\"forgotten\":" << forgotten
                      << "}\n";
        else
            std::cout << "begun again: " << found->again << ", failed: " << found->failed
                      << ", cancelled: " << found->cancelled << ", forgotten: " << forgotten
                      << "\n";
        return done;
    }

private:
    job_answer noted(const store_result<job_answer>& r)
    {
        if (!r)
            error_ = r.error().text;
        return r ? *r : job_answer::unknown;
    }

    // False when the store failed, or `act` said so.
    template <class Act>
    bool each_of_batch(Act&& act)
    {
        constexpr unsigned at_once = 100;
        const auto& name = wish_.batch.empty() ? batch_ : wish_.batch;
        if (name.empty())
            return true;
        std::int64_t last = 0;
        for (std::size_t n = at_once; n == at_once;) {
            auto some = store_.batch(name, last, at_once);
            if (!some) {
                error_ = some.error().text;
                return false;
            }
            n = some->size();
            for (const auto& j : *some) {
                last = j.number;
                if (!act(j))
                    return false;
            }
        }
        return true;
    }

    void for_people(const answered_job& a)
    {
        const auto& j = a.what;
        auto line = [](const char* name, const std::string& value) {
            std::cout << std::left << std::setw(12) << name << shown(value, 1000) << "\n";
        };
        auto time = [](const maybe_number& t) { return t ? rfc3339_of_ms(*t) : std::string("-"); };
        line("id", j.id);
        line("status", std::string(word(told_state(j))) +
                           (j.life.cancel_asked ? " (asked to be cancelled)" : ""));
        line("path", j.target);
        line("model", j.model);
        line("batch", j.batch.value_or("-"));
        line("priority", j.interactive ? "interactive" : "background");
        line("attempt", std::to_string(j.life.attempt));
        line("created", time(j.created_at));
        line("started", time(j.started_at));
        line("finished", time(j.finished_at));
        line("error", j.error.value_or("-"));
        if (!a.answer.empty())
            std::cout << a.answer << (a.answer.back() == '\n' ? "" : "\n");
    }

    bool read_lines(std::vector<new_job>& jobs);
    int follow(std::size_t count);
    int tell_bad();

    const jobs_wish& wish_;
    std::vector<std::string> ids_;
    const config& config_;
    job_store& store_;
    std::string error_;
    std::string batch_;  // of what is submitted
};

// One line of the file is one job. All mistakes are told at once, and then nothing is submitted.
bool actions::read_lines(std::vector<new_job>& jobs)
{
    std::ifstream file;
    if (wish_.file != "-") {
        file.open(wish_.file, std::ios::binary);
        if (!file || std::filesystem::is_directory(wish_.file)) {
            complain(bad_usage, wish_.file + ": cannot be read");
            return false;
        }
    }
    auto& in = wish_.file == "-" ? std::cin : file;
    std::size_t number = 0, mistakes = 0;
    for (std::string line; std::getline(in, line);) {
        ++number;
        if (trim(line).empty())
            continue;
        auto read = read_submission(line);
        if (!read || read->many) {
            complain(bad_usage,
                     wish_.file + ":" + std::to_string(number) + ": " +
                         (read ? "one job on a line, not a list" : shown(read.error().message)));
            if (++mistakes == 20)
                break;
            continue;
        }
        auto& j = read->jobs.front();
        j.id = random_id();
        j.client = "jobs submit";
        if (!j.batch)
            j.batch = batch_;
        // Submitting a file once more into the same batch adds what is not there yet.
        if (!j.idempotency_key)
            j.idempotency_key = *j.batch + ":" + std::to_string(number);
        if (!wish_.priority.empty())
            j.interactive = wish_.priority == "interactive";
        jobs.push_back(std::move(j));
    }
    if (mistakes == 0 && jobs.empty())
        complain(bad_usage, wish_.file + ": there is no job in it");
    return mistakes == 0 && !jobs.empty();
}

int actions::submit()
{
    batch_ = wish_.batch;
    if (batch_.empty())
        batch_ = (wish_.file == "-" ? "stdin" : std::filesystem::path(wish_.file).stem().string()) +
                 "-" + random_id().substr(0, 8);
    std::vector<new_job> jobs;
    if (!read_lines(jobs))
        return bad_usage;
    std::size_t known = 0;
    {
        // Not all in one transaction: a server that runs has to write too.
        constexpr std::size_t at_once = 200;
        progress_bar bar(jobs.size());
        for (std::size_t from = 0; from < jobs.size(); from += at_once) {
            auto until = std::min(jobs.size(), from + at_once);
            std::vector<new_job> some(
                std::make_move_iterator(jobs.begin() + std::ptrdiff_t(from)),
                std::make_move_iterator(jobs.begin() + std::ptrdiff_t(until)));
            auto told = store_.submit(some, unix_ms());
            if (!told)
                return complain(failed, told.error().text + "; " + std::to_string(from) +
                                            " were submitted: once more with --batch " + batch_ +
                                            " adds the others");
            for (const auto& t : *told) {
                if (t.conflict)
                    return complain(failed, "an idempotency_key of the lines " +
                                                std::to_string(from + 1) + " to " +
                                                std::to_string(until) +
                                                " was used for another request");
                known += t.known;
            }
            bar.at(until);
        }
    }
    auto count = jobs.size();
    if (wish_.json)
        std::cout << "{\"batch\":" << json_quote(batch_) << ",\"submitted\":" << count - known
                  << ",\"known\":" << known << "}\n";
    else
        std::cout << "submitted " << count - known << " jobs"
                  << (known != 0 ? " (" + std::to_string(known) + " were there)" : "") << ", batch "
                  << batch_ << "\n";
    std::cout << std::flush;
    return wish_.wait ? follow(count) : done;
}

// Until the last of the batch has finished.
int actions::follow(std::size_t count)
{
    progress_bar bar(count);
    for (;;) {
        auto counts = store_.counts_of(batch_);
        if (!counts)
            return complain(failed, counts.error().text);
        auto bad = (*counts)[job_state::failed] + (*counts)[job_state::cancelled];
        auto over = (*counts)[job_state::succeeded] + bad;
        bar.at(std::min<std::size_t>(over, count),
               "  " + std::to_string((*counts)[job_state::running]) + " running, " +
                   std::to_string(bad) + " failed");
        if (over >= count || (*counts)[job_state::queued] + (*counts)[job_state::running] == 0)
            break;
        std::this_thread::sleep_for(500ms);
    }
    return tell_bad();
}

// Which of the batch have not succeeded, and why.
int actions::tell_bad()
{
    constexpr std::size_t most_told = 20;
    std::size_t bad = 0;
    auto told = each_of_batch([&](const job& j) {
        if (j.life.state != job_state::failed && j.life.state != job_state::cancelled)
            return true;
        if (++bad <= most_told)
            complain(failed, "job " + j.id + " (" + shown(j.idempotency_key.value_or("-")) + ") " +
                                 std::string(word(j.life.state)) +
                                 (j.error ? ": " + shown(*j.error) : ""));
        return true;
    });
    if (!told)
        return complain(failed, error_);
    if (bad > most_told)
        complain(failed, "and " + std::to_string(bad - most_told) + " more: jobs list --batch " +
                             batch_ + " --status failed");
    return bad == 0 ? done : failed;
}

int actions::results()
{
    std::size_t unfinished = 0;
    auto tell = [&](const std::string& id) {
        auto got = store_.with_answer(id, all);
        if (!got || !*got) {
            error_ = got ? "no job " + shown(id) : got.error().text;
            return false;
        }
        const auto& j = (*got)->what;
        if (!finished(j.life.state)) {
            ++unfinished;
            return true;
        }
        auto text = [](const maybe_text& t) { return t ? json_quote(*t) : std::string("null"); };
        bool good = j.life.state == job_state::succeeded;
        std::cout << "{\"id\":" << json_quote(j.id)
                  << ",\"idempotency_key\":" << text(j.idempotency_key)
                  << ",\"batch\":" << text(j.batch) << ",\"status\":\"" << word(told_state(j))
                  << "\",\"error\":" << text(j.error)
                  << ",\"result\":" << (good ? answer_json(j.content_type, (*got)->answer) : "null")
                  << "}\n";
        return true;
    };
    for (const auto& id : ids_)
        if (!tell(id))
            return complain(failed, error_);
    if (!each_of_batch([&](const job& j) { return tell(j.id); }))
        return complain(failed, error_);
    std::cout << std::flush;
    if (unfinished != 0)
        complain(done, std::to_string(unfinished) + " are not finished yet");
    return done;
}

}  // namespace

int do_jobs(const jobs_wish& w, const config& c)
{
    if (!c.jobs.database)
        return complain(bad_usage, "jobs are off: `jobs.database` names no file");
    const auto& path = *c.jobs.database;
    if (w.verb != "submit" && !std::filesystem::exists(path))
        return complain(failed, "there is no job store at " + path);
    bool names = w.verb == "results" || w.verb == "cancel" || w.verb == "retry";
    if (w.verb == "show" && w.ids.empty())
        return complain(bad_usage, "show: name jobs");
    if (names && w.ids.empty() && w.batch.empty())
        return complain(bad_usage, w.verb + ": name jobs, or a --batch");
    runner_locks locks(path);
    auto store = job_store::open(path, 10s, locks);
    if (!store)
        return complain(failed, store.error().text);
    actions a(w, c, **store);
    if (w.verb == "list")
        return a.list();
    if (w.verb == "show")
        return a.show();
    if (w.verb == "submit")
        return a.submit();
    if (w.verb == "results")
        return a.results();
    if (w.verb == "cancel")
        return a.each(&actions::cancel, "cancelled");
    return w.verb == "retry" ? a.each(&actions::retry, "queued_again") : a.reap();
}

}  // namespace gateway
