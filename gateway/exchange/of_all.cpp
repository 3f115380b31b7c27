// What is asked of several upstreams as if they were one: listings are laid together, and what is
// about one model goes where that is.
#include "downstream/classify.hpp"
#include "exchange/exchange.hpp"
#include "exchange/live_call.hpp"
#include "exchange/union_answer.hpp"
#include "upstream/ollama.hpp"
#include "wire/chunk_frame.hpp"

namespace gateway {

namespace {

// The body of a question about a model; longer ones are none that Ollama knows.
constexpr std::size_t longest_question = 1u << 20;

}  // namespace

// True when it has been answered.
awaitable<bool> exchange::answered_for_all(live_call& live)
{
    auto& c = live.what();
    auto what = listing_asked(c.method, c.target);
    if (what == listing_of::none)
        co_return false;
    auto path = what == listing_of::tags ? "/api/tags"
                : what == listing_of::ps ? "/api/ps"
                                         : "/v1/models";
    live.starts(duration{});
    std::vector<std::string> bodies;
    std::string why;
    for (auto* s : fleet_.sites()) {
        if (!s->health.up())
            continue;
        live.tries(s->name, {});
        auto within = duration(c.settings->reconcile.timeout);
        auto got = co_await ask(io_, s->pool, "GET", path, "", within, &live.ending());
        if (live.ending().requested()) {
            finish(live, stopped(live, live.ending()));
            co_return true;
        }
        bool good = got && got->status == 200;
        if (good)
            bodies.push_back(std::move(got->body));
        else
            why = got ? "it answered " + std::to_string(got->status) : got.error().message;
        live.tried(good ? outcome::ok : outcome::upstream_failed, 0, good ? "" : why);
    }
    if (bodies.empty()) {
        ending none;
        none.how = outcome::upstream_failed;
        none.why = {fault_code::no_upstream,
                    "no upstream lists its models: " + (why.empty() ? fleet_.why_down() : why),
                    whose::upstream, retry::elsewhere, 10};
        finish(live, none);
        co_return true;
    }
    auto body = laid_together(what, bodies);
    answer_head head;
    head.content_type = "application/json; charset=utf-8";
    head.fields = "Content-Type: " + head.content_type + "\r\n";
    head.length = body.size();
    live.answered(200);
    live.to().head(head, live.times(), live.attempts_made());
    std::string framed(frame_headroom, ' ');
    framed.append(body).append(frame_tailroom, ' ');
    live.to().piece(framed.data() + frame_headroom, body.size(), true);
    ending done;
    finish(live, done);
    co_return true;
}

// A question about one model: which. Its body is taken in, so that it can be read before it goes
// on.
awaitable<void> exchange::learn_model(live_call& live)
{
    auto& c = live.what();
    if (auto name = model_asked(c.method, c.target); !name.empty()) {
        c.model = canonical_model(name);
        co_return;
    }
    bool show = c.method == "POST" && c.target.substr(0, c.target.find('?')) == "/api/show";
    if (!show || c.streamed == nullptr || c.streamed_length.value_or(0) > longest_question)
        co_return;
    std::string body;
    for (;;) {
        auto piece = co_await c.streamed->next();
        if (piece.empty())
            break;
        body.append(piece.data(), piece.size());
        if (body.size() > longest_question)
            break;
    }
    bool whole = c.streamed->complete();
    if (!whole)
        co_return;  // the exchange finds out why when it asks for more
    c.body = std::move(body);
    c.has_body = true;
    c.streamed = nullptr;
    c.streamed_length.reset();
    auto facts = scan_json(c.body, c.where);
    if (facts)
        c.model = canonical_model(facts->model);
}

}  // namespace gateway
