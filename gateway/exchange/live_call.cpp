#include "exchange/live_call.hpp"

#include "base/clock.hpp"
#include "call/model_name.hpp"

#include <algorithm>

namespace gateway {

namespace {

std::int64_t us(duration d)
{
    return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

// When the clock looks for what is due then. What is far off may be a little late, so that many are
// looked at in one wake-up: ten thousand clients that are told something each second are a hundred
// wake-ups a second.
instant together(instant due, instant now)
{
    constexpr duration far = std::chrono::milliseconds(200);
    constexpr duration late = std::chrono::milliseconds(10);
    if (due - now < far)
        return std::max(due, now + std::chrono::microseconds(100));
    return due + (late - due.time_since_epoch() % late) % late;
}

courtesy::settings courtesy_of(const config& c, endpoint where)
{
    const auto& q = c.queue;
    bool refresh = where == endpoint::chat_completions || where == endpoint::completions;
    return {q.grace, q.commit_whole, q.status_interval, q.heartbeat, refresh};
}

}  // namespace

live_call::live_call(surroundings s, call& c, sink& to)
    : entry(c.id),
      with_(s),
      call_(c),
      to_(to),
      timeouts_(timeouts_for(*c.settings, c.model)),
      model_(c.facts.model),
      courtesy_(c.told, c.at_once, c.framed, courtesy_of(*c.settings, c.where), c.arrived),
      clock_(s.clocks, [this] { beat(); })
{
    with_.book.enter(*this);
    bool told = c.what != kind::information && c.what != kind::management;
    if (!told)
        courtesy_.upstream_answered();
    set_clock(c.arrived);
}

live_call::~live_call()
{
    auto now = steady::now();
    if (ending().requested() && (!how_ || *how_ == outcome::client_gone)) {
        auto why = ending().why();
        bool left = why == stop_reason::client_gone || why == stop_reason::client_too_slow ||
                    why == stop_reason::memory_full;
        how_ = left ? outcome::client_gone : outcome::cancelled;
        if (left)
            with_.counted.client_gone(phase_now(), now - ending().since(), started_.has_value());
    }
    auto& r = with_.book.leave(*this, now);
    write_down(r, now);
    r.attempts = std::move(attempts_);
    with_.counted.ended(r);
    log_ended(r);
}

bool live_call::tells_attempts() const
{
    return call_.what == kind::generation || call_.what == kind::embedding ||
           call_.what == kind::load;
}

void live_call::turns_to(const std::string& model)
{
    if ((substituted_ ? model_ : call_.model) == model)
        return;
    substituted_ = true;
    model_ = model;
    timeouts_ = timeouts_for(*call_.settings, model);
}

bool live_call::may_still_be_held()
{
    auto now = steady::now();
    if (!first_refusal_)
        first_refusal_ = now;
    return now - *first_refusal_ < call_.settings->queue.hold_upstream;
}

// While it waits: for its turn, or for its model.
phase live_call::phase_now() const
{
    if (phase_ != phase::waiting || !loading_)
        return phase_;
    if (permit_ != nullptr && permit_->granted())
        return phase::starting;  // it has not been woken yet
    // Between the end of a load and the permit that follows it lies a moment: it is not told as if
    // the call were back where it was before.
    constexpr auto follows = std::chrono::milliseconds(250);
    auto now = steady::now();
    if (loading_())
        loaded_lately_ = now + follows;
    return now < loaded_lately_ ? phase::loading_model : phase::waiting;
}

void live_call::queues(permit& p, instant until, std::function<bool()> loading)
{
    auto now = steady::now();
    loading_ = std::move(loading);
    permit_ = &p;
    gives_up_ = until;
    if (waits_since_ == instant::max())
        waits_since_ = now;
    started_.reset();  // put back: nothing of it was done
    phase_ = phase::waiting;
    to_.queued();
    courtesy_.queued(now);
    beat();
}

void live_call::holds(const permit& p, std::function<std::optional<duration>()> hold)
{
    queue_ = &p.room();
    hold_ = std::move(hold);
}

void live_call::starts(duration load)
{
    auto now = steady::now();
    permit_ = nullptr;
    loading_ = nullptr;
    waited_ = waited_until(now);
    waits_since_ = instant::max();
    load_ += load;
    gives_up_ = instant::max();
    hold_ = nullptr;
    if (!started_)
        started_ = now;
    phase_ = phase::starting;
    courtesy_.running(now);
    beat();
}

void live_call::load_failed(duration took)
{
    auto now = steady::now();
    if (waits_since_ != instant::max())
        load_ += std::min(took, now - waits_since_);
    waited_ = waited_until(now);
    waits_since_ = instant::max();
}

duration live_call::waited_until(instant now) const
{
    return waits_since_ == instant::max() ? waited_ : waited_ + (now - waits_since_);
}

void live_call::sent()
{
    phase_ = phase::processing;
    to_.sent();
}

void live_call::answered(int status)
{
    status_ = status;
    auto now = steady::now();
    if (!first_byte_)
        first_byte_ = now;
    last_piece_ = now;
    bool told_done = call_.told == telling::open_webui && to_.at().head_committed;
    courtesy_.upstream_answered();
    if (told_done)
        to_.tell(this->status(now), true, false);
    phase_ = call_.framed == shape::one_piece ? phase::answering : phase::streaming;
    if (present_ != nullptr) {
        if (status != 200)
            present_->refused();
        present_->progressed(now);
        present_->limit(limit_now());
    }
    set_clock(now);
}

void live_call::passes(std::size_t bytes, instant now)
{
    if (chunks_ != 0)
        with_.counted.chunk_gap(now - last_piece_);
    ++chunks_;
    bytes_ += bytes;
    last_piece_ = now;
    if (present_ != nullptr)
        present_->progressed(now);
}

void live_call::tries(const std::string& upstream, const std::string& model, duration ago)
{
    attempt_began_ = steady::now() - ago;
    attempt_open_ = true;
    attempts_.push_back({model, upstream, outcome::not_tried, 0, "", 0});
}

void live_call::tried(outcome how, int status, std::string error, bool over)
{
    attempt_open_ = !over;
    auto& a = attempts_.back();
    a.what = how;
    a.status = status;
    a.error = std::move(error);
    a.ms = ms(steady::now() - attempt_began_);
}

// --- the clock ---

duration live_call::limit_now() const
{
    if (call_.framed == shape::one_piece)
        return timeouts_.whole;
    if (!first_byte_)
        return timeouts_.first_byte;
    // A model that calls tools may think long between two pieces.
    return call_.facts.tools && timeouts_.idle != timeouts_.idle.zero()
               ? std::max(timeouts_.idle, timeouts_.first_byte)
               : timeouts_.idle;
}

const char* live_call::passed_limit() const
{
    if (work_ != nullptr && work_->why() == stop_reason::too_long)
        return "total";
    if (call_.framed == shape::one_piece)
        return "whole";
    return first_byte_ ? "idle" : "first_byte";
}

void live_call::watch(models::presence* p, stop& work)
{
    present_ = p;
    work_ = &work;
    if (present_ != nullptr)
        present_->limit(limit_now());
    set_clock(steady::now());
}

void live_call::unwatch()
{
    present_ = nullptr;
    work_ = nullptr;
}

void live_call::beat()
{
    auto now = steady::now();
    if (permit_ != nullptr) {
        if (permit_->granted())
            return;  // it waits no more: starts() comes next
        if (hold_) {
            auto most = hold_();
            if (!most)
                down_since_.reset();
            else if (!down_since_)
                down_since_ = now;
            held_too_long_ = most && now - *down_since_ >= *most;
        }
        if (now >= gives_up_ || held_too_long_) {
            permit_->give_up();
            return;
        }
    }
    if (work_ != nullptr && !work_->requested()) {
        bool total = timeouts_.total != timeouts_.total.zero() && started_ &&
                     now - *started_ >= timeouts_.total;
        if (total)
            work_->request(stop_reason::too_long, now);
        else if (present_ != nullptr && present_->timed_out(now))
            work_->request(stop_reason::silent, now);
        if (work_ == nullptr || work_->requested())
            return;
    }
    for (auto act = courtesy_.due(now); act != courtesy::act::nothing; act = courtesy_.due(now)) {
        to_.tell(status(now), false, act == courtesy::act::chunk_refresh);
        if (ending().requested())
            return;
    }
    set_clock(now);
}

void live_call::set_clock(instant now)
{
    auto next = std::min(courtesy_.next_due(), gives_up_);
    if (permit_ != nullptr && hold_ && down_since_)
        next = std::min<instant>(next, *down_since_ + settings().queue.hold_upstream);
    if (work_ != nullptr) {
        if (present_ != nullptr)
            next = std::min(next, present_->look_again(now));
        if (timeouts_.total != timeouts_.total.zero() && started_)
            next = std::min<instant>(next, *started_ + timeouts_.total);
    }
    clock_.set(next == instant::max() ? next : together(next, now));
}

// --- views ---

queue_status live_call::status(instant now) const
{
    queue_status s;
    s.status = phase_now();
    if (queue_ != nullptr)
        s.queue_length = queue_->view().waiting();
    if (permit_ != nullptr) {
        s.position = permit_->position();
        if (auto eta = permit_->eta(now))
            s.eta_ms = ms(*eta);
    }
    if (call_.what == kind::load)
        s.position.reset();
    s.waited_ms = ms(now - call_.arrived);
    s.model = model_;
    s.request_id = call_.id;
    // The configured text is about a number: who has left the queue has none any more, and who
    // takes nobody's turn never had one.
    static const std::vector<message_text> at_work{{"en", "Your turn has come ({seconds}s)"},
                                                   {"de", "Du bist an der Reihe ({seconds}s)"}};
    static const std::vector<message_text> for_model{{"en", "Waiting for the model ({seconds}s)"},
                                                     {"de", "Warte auf das Modell ({seconds}s)"}};
    s.message = queue_message(!s.position        ? for_model
                              : *s.position == 0 ? at_work
                                                 : with_.messages,
                              call_.languages, s.position.value_or(0), s.waited_ms / 1000);
    return s;
}

timing live_call::times() const
{
    auto now = steady::now();
    timing t;
    t.queue_us = us(waited_until(now) - load_);
    t.load_us = us(load_);
    if (started_)
        t.upstream_us = us((first_byte_ ? *first_byte_ : now) - *started_);
    return t;
}

call_view live_call::view(instant now) const
{
    call_view v;
    v.id = call_.id;
    v.client = call_.client;
    v.owner = call_.key;
    v.where = call_.where;
    v.model = canonical_model(model_);
    if (!attempts_.empty())
        v.upstream = attempts_.back().upstream;
    v.now = phase_now();
    v.age_s = seconds(now - call_.arrived);
    v.waited_ms = ms(waited_until(now));
    if (queue_ != nullptr)
        v.queue_length = queue_->view().waiting();
    if (permit_ != nullptr) {
        if (auto position = permit_->position(); position != 0)
            v.position = position;
        if (auto eta = permit_->eta(now))
            v.eta_ms = ms(*eta);
    }
    v.chunks = chunks_;
    v.how = how_;
    v.attempts = attempts_;
    if (attempt_open_)
        v.attempts.pop_back();  // how it ended is not known yet
    return v;
}

void live_call::log_as_cut() const
{
    call_record r;
    write_down(r, steady::now());
    r.how = how_.value_or(outcome::cancelled);
    r.attempts = attempts_;
    if (attempt_open_)
        r.attempts.back().what = outcome::cancelled;
    log_ended(r);
}

void live_call::write_down(call_record& r, instant now) const
{
    r.id = call_.id;
    r.client = call_.client;
    r.owner = call_.key;
    r.where = call_.where;
    r.what = call_.what;
    r.model = call_.model;
    if (listed_)
        r.model_label = call_.model;
    else
        r.model_label = "other";
    r.how = how_.value_or(outcome::upstream_failed);
    r.ended_in = phase_now();
    // One whose head went out while it waited was told 200, whatever came then.
    r.status = status_ == 0 && to_.at().head_committed ? 200 : status_;
    r.queue_us = us(waited_until(now) - load_);
    r.load_us = us(load_);
    r.first_byte_us = first_byte_ ? us(*first_byte_ - call_.arrived) : -1;
    r.total_us = us(now - call_.arrived);
    r.bytes = bytes_;
    r.chunks = chunks_;
    r.prompt_tokens = usage_.prompt_tokens;
    r.completion_tokens = usage_.completion_tokens;
    r.finished_at = wall_clock::now();
}

}  // namespace gateway
