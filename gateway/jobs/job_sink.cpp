#include "jobs/job_sink.hpp"

#include "base/text.hpp"
#include "jobs/unix_time.hpp"
#include "jobs/upstream_words.hpp"

#include <algorithm>

namespace gateway {

namespace {

framing framing_of(std::string_view content_type)
{
    if (istarts_with(content_type, "application/x-ndjson"))
        return framing::ndjson;
    if (istarts_with(content_type, "text/event-stream"))
        return framing::sse;
    return framing::one_piece;
}

}  // namespace

job_sink::job_sink(const call& c, memory_budget& memory) : call_(c), memory_(memory) {}

void job_sink::tell(const queue_status& status, bool over, bool refresh)
{
    if (over || refresh || at_.head_committed)
        return;
    status_ = status;
}

void job_sink::sent()
{
    if (!sent_at_)
        sent_at_ = unix_ms();
}

void job_sink::head(const answer_head& h, const timing&, const std::vector<attempt>& tried)
{
    at_.head_committed = true;
    status_.reset();
    status_code_ = h.status;
    content_type_ = h.content_type;
    tried_ = tried;
    bool model = call_.what == kind::generation || call_.what == kind::embedding;
    if (h.status == 200 && model)
        reader_.emplace(framing_of(h.content_type), call_.where);
}

void job_sink::piece(char* data, std::size_t size, bool last)
{
    constexpr std::size_t most_of_refusal = 64 * 1024;
    if (end_)
        return;
    std::string_view bytes(data, size);
    if (size != 0)
        at_.model_bytes = true;
    if (status_code_ >= 400) {
        refusal_ += bytes.substr(0, most_of_refusal - std::min(most_of_refusal, refusal_.size()));
    } else if (broken_.empty() && size != 0) {
        if (size_ + size > longest)
            broken_ = "the answer is over " + std::to_string(longest >> 20) + " MiB";
        else if (!memory_.hold(unwritten_ + size))
            broken_ = "out of memory for answers that are not written yet (limits.memory)";
        if (!broken_.empty()) {
            ending_.request(stop_reason::cancelled, steady::now());
            return;
        }
        if (reader_)
            reader_->feed(bytes);
        held_ += bytes;
        size_ += size;
        unwritten_ += size;
    }
    if (!last)
        return;
    if (reader_)
        reader_->finish();
    if (status_code_ >= 400) {
        // Ollama's own queue was full: nothing was done.
        bool busy = status_code_ == 503 && says_busy(refusal_);
        ends(busy ? job_event::put_back : job_event::fail, upstream_words(refusal_, status_code_),
             tried_, busy ? 5 : 0);
    } else if (reader_ && reader_->error_seen()) {
        ends(job_event::fail,
             reader_->error_text().empty() ? "the upstream's answer ended in an error of its own"
                                           : reader_->error_text(),
             tried_);
    } else {
        ends(job_event::succeed, {}, tried_);
    }
}

awaitable<void> job_sink::room()
{
    co_return;
}

void job_sink::fail(const fault& f, const std::vector<attempt>& tried, const timing&)
{
    if (!broken_.empty()) {
        ends(job_event::fail, broken_, tried);
        return;
    }
    switch (f.code) {
        case fault_code::draining: ends(job_event::put_back, {}, {}); break;
        case fault_code::cancelled: ends(job_event::stop, {}, tried); break;
        // Nothing of it was begun: it waits, however long it takes.
        case fault_code::queue_full:
        case fault_code::queue_timeout:
        case fault_code::no_upstream:
        case fault_code::overloaded:
            ends(job_event::put_back, {}, {}, std::clamp(f.retry_after, 1, 5));
            break;
        default: ends(job_event::fail, f.message, tried);
    }
}

void job_sink::fail_with(int status, std::string_view body, const std::vector<attempt>& tried,
                         const timing&)
{
    ends(job_event::fail, upstream_words(body, status), tried);
}

void job_sink::cut()
{
    // The exchange says so of a client that left; here that is whoever ended it.
    if (ending_.why() == stop_reason::draining)
        ends(job_event::put_back, {}, {});
    else
        ends(job_event::stop, {}, tried_);
}

void job_sink::attempted(const std::vector<attempt>& tried)
{
    tried_ = tried;
    if (end_)
        end_->attempts = tried;
}

void job_sink::ends(job_event how, std::string error, const std::vector<attempt>& tried,
                    int later_s)
{
    if (!end_)
        end_ = job_end{how, std::move(error), tried, later_s};
}

job_end job_sink::verdict() const
{
    return end_.value_or(job_end{job_event::lose, {}, tried_, 0});
}

std::string job_sink::take()
{
    return std::exchange(held_, {});
}

void job_sink::give_back(std::string unwritten)
{
    held_.insert(0, unwritten);
}

void job_sink::written(std::size_t bytes)
{
    unwritten_ -= bytes;
    memory_.hold(unwritten_);
}

}  // namespace gateway
