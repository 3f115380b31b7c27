// Calls that are out: who is there, how long the model has been silent for them, and what follows.
#include "base/log.hpp"
#include "models/entry.hpp"

namespace gateway {

models::presence::presence(models& of, facts f, duration limit, std::function<void()> on_silent)
    : of_(of),
      model_(of.of_name(f.runner)),
      what_(std::move(f)),
      id_(++of.last_id_),
      on_silent_(std::move(on_silent))
{
    auto now = steady::now();
    model_.quiet.started(id_, limit, now);
    model_.out.push_back(*this);
    model_.served = true;
    book_ = &of_.ledger_.call_began(model_.name, now);
    if (what_.measured)
        model_.beside.sent(id_, now);
}

models::presence::~presence()
{
    if (!out_)
        return;
    auto now = steady::now();
    model_.quiet.left(id_, now);
    if (what_.measured)
        model_.beside.dropped(id_, now);
    out_no_more(now);
}

void models::presence::out_no_more(instant now)
{
    out_ = false;
    unlink();
    auto within = of_.with_.settings()->unload.verify_within;
    if (what_.keep_alive)
        ledger::keeps_its_own_time(*book_, *what_.keep_alive, now);
    of_.ledger_.call_ended(*book_, what_.unloads, within, now);
    of_.list_soon(now);
}

void models::presence::limit(duration d)
{
    model_.quiet.limit(id_, d);
}

void models::presence::progressed(instant now)
{
    model_.quiet.progressed(id_, now);
    if (began_)
        return;
    began_ = true;
    if (what_.measured && what_.streams) {
        auto before = model_.beside.limit();
        model_.beside.first_byte(id_, now);
        of_.learn(model_, before);
    }
    if ((out_ ? book_->at : of_.ledger_.state(model_.name)) != model_state::ready) {
        of_.ledger_.answers(model_.name, what_.options, now);
        of_.list_soon(now);
    }
}

void models::presence::finished(std::optional<duration> ran, instant now)
{
    if (!out_)
        return;
    model_.quiet.finished(id_, now);
    if (what_.measured) {
        auto before = model_.beside.limit();
        model_.beside.ended(id_, ran, now);
        of_.learn(model_, before);
    }
    out_no_more(now);
}

bool models::presence::timed_out(instant now) const
{
    return out_ && model_.quiet.timed_out(id_, now);
}

instant models::presence::look_again(instant now) const
{
    return out_ ? model_.quiet.look_again(id_, now) : instant::max();
}

duration models::presence::silent_for(instant now) const
{
    return model_.quiet.silent_for(now);
}

void models::presence::expired(instant since, instant now)
{
    if (!out_)
        return;
    bool slow = model_.quiet.others_progressed(id_, since);
    model_.quiet.expired(id_, now);
    if (what_.measured)
        model_.beside.dropped(id_, now);
    out_no_more(now);
    if (slow) {
        log::info("a call timed out while others of its model make progress: left alone",
                  {{"upstream", of_.with_.upstream}, {"model", model_.name}});
        return;
    }
    if (of_.with_.settings()->unload.on_timeout)
        of_.unload(model_.name, "timeout");
}

}  // namespace gateway
