// A call in progress: its phase, its times, its attempts, and the clock that tells its client and
// ends it when it has been silent too long. Its destructor is the call's last phase: it runs
// however the call ends.
#pragma once

#include "admission/admission.hpp"
#include "async/alarm.hpp"
#include "call/sink.hpp"
#include "exchange/call_book.hpp"
#include "models/models.hpp"
#include "stream/courtesy.hpp"
#include "stream/frames.hpp"
#include "stream/reader.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gateway {

class live_call : public call_book::entry {
public:
    struct surroundings {
        alarms& clocks;
        call_book& book;
        metrics& counted;
        const std::vector<message_text>& messages;
    };

    live_call(surroundings s, call& c, sink& to);
    ~live_call();
    live_call(const live_call&) = delete;
    live_call& operator=(const live_call&) = delete;

    call& what() { return call_; }
    sink& to() { return to_; }
    stop& ending() { return to_.ending(); }
    const config& settings() const { return *call_.settings; }
    metrics& counted() { return with_.counted; }

    // --- told by the exchange as the call goes on ---
    // It stands in the queue: its client is told, and it gives up at `until` (max_wait). `loading`:
    // whether its model is being loaded.
    void queues(permit& p, instant until, std::function<bool()> loading);
    // With no upstream up it is held only so long; asked each time the clock looks, and when
    // upstreams_changed(). Nothing: one is.
    void holds(const permit& p, std::function<std::optional<duration>()> hold);
    // Others of the upstreams are up than before.
    void upstreams_changed()
    {
        if (permit_ != nullptr && hold_)
            beat();
    }
    bool held_too_long() const { return held_too_long_; }
    // An upstream refused it: may it wait for one to come up? For hold_upstream since the first
    // time.
    bool may_still_be_held();
    // The gateway is stopping: it need not wait any longer. Nothing for a call that has its permit.
    void leave_queue()
    {
        if (permit_ != nullptr)
            permit_->give_up();
    }
    // It has its permit. `load`: how much of this wait was for its model's load.
    void starts(duration load);
    // It has waited for a load that failed after so long.
    void load_failed(duration took);
    // Another model's turn comes because of how it ended with this one.
    struct fall {
        std::string from;
        outcome why;
    };
    void falls_from(const std::string& model, outcome why)
    {
        if (!fall_)
            fall_.emplace(fall{model, why});
    }
    std::optional<fall> take_fall() { return std::exchange(fall_, std::nullopt); }
    // It is about this model from now on (a fallback's turn).
    void turns_to(const std::string& model);
    void sent();                                    // its bytes are on the upstream's wire
    void answered(int status);                      // the upstream's head is there
    void refused(int status) { status_ = status; }  // ours, before any head
    void passes(std::size_t bytes, instant now);    // a piece of the answer
    // What it waited for may be gone from here on: it is not asked any more.
    void ends(outcome how)
    {
        how_ = how;
        phase_ = phase_now();
        loading_ = nullptr;
    }
    // Its verdict is there, though not everything may have been sent and written down.
    bool over() const { return how_.has_value(); }
    void used(usage u) { usage_ = u; }
    // The program ends at once, and the call with it: its log line is written while it can be.
    void log_as_cut() const;
    void labelled(bool listed) { listed_ = listed; }

    // An attempt begins, or has begun `ago`; it is in the list until it ends as something better.
    void tries(const std::string& upstream, const std::string& model, duration ago = {});
    // How it stands; `over`: or has ended.
    void tried(outcome how, int status, std::string error, bool over = true);
    const std::vector<attempt>& attempts_made() const { return attempts_; }
    bool attempt_open() const { return attempt_open_; }
    // It is one of those whose attempts are told: it wanted a model.
    bool tells_attempts() const;

    // The clock watches over this until unwatch(): `work` is stopped when the model has been silent
    // too long (`p`: none, when that does not count), or the call has run for `timeouts.total`.
    void watch(models::presence* p, stop& work);
    void unwatch();
    // Which limit was passed: "first_byte", "idle", "whole" or "total".
    const char* passed_limit() const;

    const config::timeout_settings& limits() const { return timeouts_; }
    // How long the model may be silent, as things stand.
    duration limit_now() const;
    // The model it is about, as its client or the configuration spells it.
    const std::string& model() const { return model_; }
    // Since when it waits for its turn this time; instant::max() when it does not.
    instant waits_since() const { return waits_since_; }
    // Its model is taken out of VRAM: it ends with it, whatever its own limits are.
    void loses_its_model() { lost_its_model_ = true; }
    bool lost_its_model() const { return lost_its_model_; }

    timing times() const;
    call_view view(instant now) const;
    phase now_in() const { return phase_now(); }
    bool same_client(const live_call& other) const
    {
        return call_.client == other.call_.client && call_.key == other.call_.key;
    }

private:
    void beat();
    void set_clock(instant now);
    queue_status status(instant now) const;
    phase phase_now() const;
    // All but the attempts.
    void write_down(call_record& r, instant now) const;

    surroundings with_;
    call& call_;
    sink& to_;
    config::timeout_settings timeouts_;
    std::string model_;  // as the client wrote it; of a substitute, canonical
    bool substituted_ = false;
    courtesy courtesy_;
    alarm clock_;

    phase phase_ = phase::waiting;
    permit* permit_ = nullptr;
    const admission* queue_ = nullptr;
    instant gives_up_ = instant::max();
    std::function<bool()> loading_;
    mutable instant loaded_lately_{};
    std::function<std::optional<duration>()> hold_;
    std::optional<instant> first_refusal_;
    std::optional<instant> down_since_;
    bool held_too_long_ = false;

    duration waited_until(instant now) const;

    instant waits_since_ = instant::max();
    duration waited_{};  // before that: all waits that are over, their loads among them
    duration load_{};
    std::optional<instant> started_;
    bool lost_its_model_ = false;
    std::optional<fall> fall_;
    std::optional<instant> first_byte_;
    instant last_piece_{};
    models::presence* present_ = nullptr;
    stop* work_ = nullptr;

    std::vector<attempt> attempts_;
    instant attempt_began_{};
    bool attempt_open_ = false;
    std::optional<outcome> how_;
    int status_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t chunks_ = 0;
    usage usage_;
    bool listed_ = false;
};

}  // namespace gateway
