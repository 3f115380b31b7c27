#include "admin/job_pages.hpp"

#include "admin/job_submission.hpp"
#include "base/text.hpp"
#include "downstream/request_id.hpp"
#include "jobs/job_json.hpp"
#include "jobs/unix_time.hpp"

#include <algorithm>

namespace gateway {

using boost::system::result;

namespace {

constexpr std::string_view here = "/gateway/jobs";

fault no(fault_code code, std::string why)
{
    return {code, std::move(why), whose::client, retry::no, 0};
}

fault no_such_job()
{
    return no(fault_code::not_found, "no job of this id");
}

std::string location(const std::string& id)
{
    return "Location: " + std::string(here) + "/" + id + "\r\n";
}

// The query as it is asked: every name once, none unknown.
struct listing {
    job_filter filter;
    unsigned limit = 20;
    std::int64_t cursor = 0;
    std::string mistake;
};

listing listing_of(std::string_view query)
{
    listing l;
    for (auto part : split(query, '&')) {
        if (part.empty())
            continue;
        auto equals = part.find('=');
        auto name = part.substr(0, equals);
        auto value = percent_decode(equals == std::string_view::npos ? std::string_view()
                                                                     : part.substr(equals + 1));
        if (!value) {
            l.mistake = std::string(name) + ": is not percent-encoded";
        } else if (value->empty()) {
            continue;  // status=&batch=: asked for nothing
        } else if (name == "status") {
            l.filter.state = job_state_of(*value);
            if (!l.filter.state)
                l.mistake = "status: queued, running, succeeded, failed or cancelled";
        } else if (name == "batch") {
            l.filter.batch = std::move(*value);
        } else if (name == "limit") {
            auto n = parse_uint(*value, 100);
            l.limit = static_cast<unsigned>(n.value_or(0));
            if (l.limit == 0)
                l.mistake = "limit: 1 to 100";
        } else if (name == "cursor") {
            auto n = parse_uint(*value, INT64_MAX);
            l.cursor = static_cast<std::int64_t>(n.value_or(0));
            if (l.cursor == 0)
                l.mistake = "cursor: is the next_cursor of another page";
        } else {
            l.mistake = to_valid_utf8(name) + ": status, batch, limit or cursor";
        }
    }
    return l;
}

}  // namespace

fault unusable(const store_error& e)
{
    return {fault_code::jobs_unavailable, "the job store cannot be used: " + e.text, whose::ours,
            retry::elsewhere, 10};
}

bool job_pages::are_at(std::string_view path)
{
    return path.starts_with(here) && (path.size() == here.size() || path[here.size()] == '/');
}

std::uint64_t job_pages::longest_body(const request_head& head, const config& c) const
{
    return head.method == "POST" && head.path == here ? c.limits.body : 1u << 20;
}

job_scope job_pages::scope_of(const identity& who) const
{
    if (at_ == port::admin)
        return {true, {}};
    return {false, owner_of(who)};
}

awaitable<void> job_pages::answer(const page_request& r, responder& to)
{
    const auto& method = r.head.method;
    bool reads = method == "GET" || method == "HEAD";
    std::string id, verb;
    if (r.head.path.size() > here.size())
        id = r.head.path.substr(here.size() + 1);
    if (auto slash = id.find('/'); slash != std::string::npos) {
        verb = id.substr(slash + 1);
        id.resize(slash);
    }
    id = to_lower(id);
    bool changes = verb == "cancel" || verb == "retry";
    bool whole_list = r.head.path == here;
    if (room_ == nullptr) {
        to.fail(no(fault_code::not_found, "jobs are off: `jobs.database` names no file"));
    } else if (!whole_list && (id.empty() || !(verb.empty() || changes || verb == "events"))) {
        to.fail(no(fault_code::not_found, "no such page"));
    } else if (whole_list && method == "POST") {
        co_await submit(r, to);
    } else if (whole_list && reads) {
        co_await list(r, to);
    } else if (verb == "events" && method == "GET") {
        co_await events(std::move(id), r, to);
    } else if (!whole_list && verb.empty() && reads) {
        co_await show(std::move(id), r, to);
    } else if ((changes && method == "POST") ||
               (!whole_list && verb.empty() && method == "DELETE")) {
        co_await change(std::move(id), std::move(verb), r, to);
    } else {
        to.takes_only(changes        ? "POST"
                      : whole_list   ? "GET, HEAD, POST"
                      : verb.empty() ? "GET, HEAD, DELETE"
                                     : "GET");
    }
}

namespace {

// What POST /gateway/jobs is about, for the store's thread: it reads the jobs one by one out of the
// body, so that nothing of a list is held but its text and its answer.
struct intake {
    std::string body;
    std::string client;
    std::optional<std::string> owner;
    std::optional<std::string> key;  // the header's
    job_scope scope;

    result<bool, fault> each(const std::function<bool(new_job)>& take) const
    {
        bool differs = false;
        auto many = each_submission(body, [&](new_job j) {
            j.id = random_id();
            j.client = client;
            j.owner = owner;
            differs = key && j.idempotency_key.value_or(*key) != *key;
            if (key)
                j.idempotency_key = key;
            return take(std::move(j));
        });
        if (many && key && (*many || differs))
            return no(fault_code::bad_request,
                      *many ? "Idempotency-Key: is for one job; in a list each has its own"
                            : "Idempotency-Key: is not the idempotency_key of the body");
        return many;
    }
};

struct taken_in {
    std::optional<fault> mistake;
    bool many = false;
    std::string first;               // its id
    std::vector<std::string> parts;  // of the answer
};

store_result<taken_in> take_in(job_store& s, const intake& in)
{
    constexpr std::size_t part = 64 * 1024;
    taken_in t;
    auto good = in.each([](const new_job&) { return true; });
    if (!good) {
        t.mistake = good.error();
        return t;
    }
    t.many = *good;
    t.parts.emplace_back(t.many ? "{\"jobs\":[" : "");
    auto source = [&](const job_store::add_job& add) { (void)in.each(add); };
    auto tell = [&](const submitted& one) {
        auto j = s.load(one.id, in.scope);
        if (!j)
            return;
        if (t.first.empty())
            t.first = one.id;
        else
            t.parts.back() += ',';
        t.parts.back() += job_json(*j);
        if (t.parts.back().size() >= part) {
            t.parts.emplace_back();
            t.parts.back().reserve(part + 1024);
        }
    };
    auto done = s.submit_each(source, unix_ms(), tell);
    if (!done)
        return done.error();
    if (!*done || t.first.empty())
        t.mistake = no(fault_code::conflict, "this idempotency_key was used for another request");
    if (t.many)
        t.parts.back() += "],\"next_cursor\":null}";
    return t;
}

// What it costs at most, beside the body itself: its text once more, and an answer for each job.
std::uint64_t cost_of(std::string_view body)
{
    constexpr std::size_t shortest_job = 40, answer = 400, most_at_once = 10'000;
    return 2 * body.size() + std::min(body.size() / shortest_job + 1, most_at_once) * answer;
}

}  // namespace

awaitable<void> job_pages::submit(const page_request& r, responder& to)
{
    memory_budget::share held(room_->memory);
    if (!held.hold(cost_of(r.body))) {
        to.fail({fault_code::overloaded, "out of memory for so many jobs (limits.memory)",
                 whose::ours, retry::elsewhere, 5});
        co_return;
    }
    auto in = std::make_shared<intake>();
    in->body = r.body;
    in->client = r.who.client;
    in->owner = owner_of(r.who);
    in->scope = scope_of(r.who);
    if (auto key = r.head.get("Idempotency-Key"); !key.empty())
        in->key = std::string(key);
    auto work = [in = std::shared_ptr<const intake>(in)](job_store& s) { return take_in(s, *in); };
    auto done = co_await room_->store.ask(std::move(work));
    if (!done) {
        to.fail(unusable(done.error()));
        co_return;
    }
    if (done->mistake) {
        to.fail(*done->mistake);
        co_return;
    }
    room_->runner.look();
    if (done->many)
        co_await to.json_in_parts(202, std::move(done->parts));
    else
        to.whole(202, "application/json", done->parts.front(), location(done->first));
}

awaitable<void> job_pages::take(const call& c, const page_request& r, responder& to)
{
    auto wanted = std::make_shared<std::vector<new_job>>();
    wanted->push_back(job_of(c, r));
    auto scope = scope_of(r.who);
    auto work = [wanted, scope](job_store& s) -> store_result<std::optional<job>> {
        auto got = s.submit(*wanted, unix_ms());
        if (!got)
            return got.error();
        if (got->front().conflict)
            return std::optional<job>();
        return s.find(got->front().id, scope);
    };
    auto done = co_await room_->store.ask(std::move(work));
    if (!done) {
        to.fail(unusable(done.error()), c.words);
    } else if (!*done) {
        to.fail(no(fault_code::conflict, "this Idempotency-Key was used for another request"),
                c.words);
    } else {
        room_->runner.look();
        to.whole(202, "application/json", job_json(**done),
                 location((*done)->id) + "Preference-Applied: respond-async\r\n");
    }
}

awaitable<void> job_pages::list(const page_request& r, responder& to)
{
    auto l = listing_of(r.head.query);
    if (!l.mistake.empty()) {
        to.fail(no(fault_code::bad_request, l.mistake));
        co_return;
    }
    l.filter.whose = scope_of(r.who);
    // Jobs without an owner are known by their ids, so whoever could list them could have them:
    // only who reaches the admin port anyway.
    bool local = may_manage("local", r.who, room_->settings()->hosts.empty(), {});
    if (!l.filter.whose.all && !l.filter.whose.owner && !local) {
        to.fail(no(fault_code::forbidden,
                   "without a key a job is known by its id alone; the admin port lists all"));
        co_return;
    }
    auto work = [l](job_store& s) { return s.list(l.filter, l.limit, l.cursor); };
    auto page = co_await room_->store.ask(std::move(work));
    if (!page) {
        to.fail(unusable(page.error()));
        co_return;
    }
    room_->runner.amend(*page, l.filter, l.limit, l.cursor);
    to.json(200, job_list_json(*page));
}

awaitable<void> job_pages::show(std::string id, const page_request& r, responder& to)
{
    auto scope = scope_of(r.who);
    auto work = [id, scope](job_store& s) { return s.with_answer(id, scope); };
    auto got = co_await room_->store.ask(std::move(work));
    if (!got) {
        to.fail(unusable(got.error()));
        co_return;
    }
    if (!*got) {
        to.fail(no_such_job());
        co_return;
    }
    bool all_written = (*got)->what.life.state == job_state::succeeded;
    room_->runner.amend((*got)->what);
    if (!all_written && (*got)->what.life.state == job_state::succeeded) {
        // It has succeeded here, and not all of its answer is in the store.
        auto number = (*got)->what.number;
        auto rest = [number](job_store& s) { return s.pieces(number, 0, SIZE_MAX); };
        auto pieces = co_await room_->store.ask(std::move(rest));
        auto answer =
            pieces ? room_->runner.answer_of((*got)->what, std::move(pieces->data)) : std::nullopt;
        if (answer) {
            (*got)->answer = std::move(*answer);
        } else {
            auto again = [id, scope](job_store& s) { return s.with_answer(id, scope); };
            got = co_await room_->store.ask(std::move(again));
            if (!got || !*got) {
                to.fail(got ? no_such_job() : unusable(got.error()));
                co_return;
            }
        }
    }
    auto share = memory_budget::share(room_->memory);
    if (share.hold((*got)->answer.size() * 3))
        to.json(200, job_json((*got)->what, (*got)->answer));
    else
        to.fail({fault_code::overloaded, "out of memory for this answer (limits.memory)",
                 whose::ours, retry::elsewhere, 5});
}

awaitable<void> job_pages::change(std::string id, std::string verb, const page_request& r,
                                  responder& to)
{
    auto scope = scope_of(r.who);
    auto& runner = room_->runner;
    // What runs here is ended here, whether that can be written now or not.
    auto mine = runner.one_of_its_own(id, scope);
    if (mine && finished(mine->life.state) && verb != "cancel") {
        to.fail(unusable({store_error::kind::passing, "the job's end is not written yet"}));
        co_return;
    }
    if (mine && (finished(mine->life.state) ||
                 (verb != "cancel" && told_state(*mine) == job_state::running))) {
        to.fail(no(fault_code::conflict, "the job is " + std::string(word(told_state(*mine)))));
        co_return;
    }
    if (mine && verb == "cancel")
        runner.cancel(mine->number);
    struct outcome {
        job_answer what;
        std::optional<job> now;
    };
    auto work = [id, verb, scope](job_store& s) -> store_result<outcome> {
        auto done = verb == "cancel"  ? s.cancel(id, scope, unix_ms())
                    : verb == "retry" ? s.retry(id, scope)
                                      : s.remove(id, scope);
        if (!done)
            return done.error();
        auto now = s.find(id, scope);
        if (!now)
            return now.error();
        return outcome{*done, std::move(*now)};
    };
    auto done = co_await room_->store.ask(std::move(work));
    if (!done && mine && verb == "cancel") {
        auto now = runner.one_of_its_own(id, scope);
        to.json(202, job_json(now ? *now : *mine));
        co_return;
    }
    if (!done) {
        to.fail(unusable(done.error()));
        co_return;
    }
    if (done->now)
        runner.amend(*done->now);
    auto state = std::string(done->now ? word(told_state(*done->now)) : "gone");
    if (mine && verb == "cancel" && done->what != job_answer::unknown) {
        to.json(202, job_json(done->now ? *done->now : *mine));
    } else if (done->what == job_answer::unknown) {
        to.fail(no_such_job());
    } else if (done->what == job_answer::not_now) {
        to.fail(no(fault_code::conflict, "the job is " + state));
    } else {
        if (mine && !done->now)
            runner.forget(mine->number);
        runner.look();
        if (done->now)
            to.json(done->what == job_answer::asked ? 202 : 200, job_json(*done->now));
        else
            to.whole(204, {}, {});
    }
}

}  // namespace gateway
