// Calls that are out: who is there, how long the model has been silent for them, and what follows.
#include "base/log.hpp"
#include "models/entry.hpp"

namespace gateway {

models::presence::presence(models& of, const std::string& model, duration limit,
                           std::function<void()> on_silent)
    : of_(of), model_(of.of_name(model)), id_(++of.last_id_), on_silent_(std::move(on_silent))
{
    model_.quiet.started(id_, limit, steady::now());
    model_.out.insert(this);
}

models::presence::~presence()
{
    if (!out_)
        return;
    model_.quiet.left(id_, steady::now());
    out_no_more();
}

void models::presence::out_no_more()
{
    out_ = false;
    model_.out.erase(this);
}

void models::presence::limit(duration d)
{
    model_.quiet.limit(id_, d);
}

void models::presence::progressed(instant now)
{
    model_.quiet.progressed(id_, now);
    if (!model_.loaded)
        of_.list_soon(now);
}

void models::presence::finished(instant now)
{
    if (!out_)
        return;
    model_.quiet.finished(id_, now);
    out_no_more();
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
    out_no_more();
    if (slow) {
        log::info("a call timed out while others of its model make progress: left alone",
                  {{"upstream", of_.with_.upstream}, {"model", model_.name}});
        return;
    }
    if (of_.with_.settings()->unload.on_timeout)
        of_.unload(model_, "timeout");
}

}  // namespace gateway
