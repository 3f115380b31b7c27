// Where a job's answer goes: pieces gathered until they are written as a row, and the one end.
// Nobody is behind it who could leave; it is ended by a cancel or because the gateway stops.
#pragma once

#include "base/memory_budget.hpp"
#include "call/sink.hpp"
#include "jobs/states.hpp"
#include "stream/reader.hpp"

#include <optional>
#include <string>

namespace gateway {

// How a job's run has ended.
struct job_end {
    job_event how = job_event::lose;
    std::string error;  // for people; empty unless it failed
    std::vector<attempt> attempts;
    int later_s = 0;  // put back: not to be taken up before so many seconds
};

class job_sink : public sink {
public:
    job_sink(const call& c, memory_budget& memory);

    stop& ending() override { return ending_; }
    progress at() const override { return at_; }
    void tell(const queue_status& status, bool over, bool refresh) override;
    void queued() override { sent_at_.reset(); }
    void sent() override;
    void head(const answer_head& h, const timing& t, const std::vector<attempt>& tried) override;
    void piece(char* data, std::size_t size, bool last) override;
    void flush() override {}
    awaitable<void> room() override;
    void fail(const fault& f, const std::vector<attempt>& tried, const timing& t) override;
    void fail_with(int status, std::string_view body, const std::vector<attempt>& tried,
                   const timing& t) override;
    void cut() override;
    void attempted(const std::vector<attempt>& tried) override;

    // As it was told last; none before, and none once the answer has begun.
    const std::optional<queue_status>& waits() const { return status_; }
    // When its call was sent to an upstream, in Unix milliseconds; none while it waits.
    std::optional<std::int64_t> sent_at() const { return sent_at_; }
    bool answering() const { return at_.head_committed; }
    const std::string& content_type() const { return content_type_; }

    // What has come since: taken away, and given back when it could not be written.
    std::string take();
    void give_back(std::string unwritten);
    const std::string& held() const { return held_; }
    void written(std::size_t bytes);

    // Once the exchange is done with it: how it ended. A run that ended without a word is lost.
    job_end verdict() const;

    // An answer longer than this fails.
    static constexpr std::size_t longest = 64u << 20;

private:
    void ends(job_event how, std::string error, const std::vector<attempt>& tried, int later_s = 0);

    const call& call_;
    memory_budget::share memory_;
    stop ending_;
    progress at_;
    std::optional<queue_status> status_;
    std::optional<std::int64_t> sent_at_;
    int status_code_ = 0;
    std::string content_type_;
    std::optional<stream_reader> reader_;
    std::string held_;
    std::size_t unwritten_ = 0;
    std::size_t size_ = 0;
    std::string refusal_;  // the beginning of an upstream's error answer
    std::string broken_;   // why no more is taken
    std::vector<attempt> tried_;
    std::optional<job_end> end_;
};

}  // namespace gateway
