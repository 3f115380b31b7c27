// Any bytes as the body of POST /gateway/jobs: refused with a reason, or jobs whose bodies stand in
// it as they are. And any bytes as an answer, cut anywhere: re-told as the same events.
#include "admin/job_submission.hpp"
#include "base/text.hpp"
#include "downstream/classify.hpp"
#include "jobs/answer_events.hpp"
#include "jobs/job_json.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace gateway;

namespace {

void require(bool holds)
{
    if (!holds) {
        std::abort();
    }
}

void check_submission(std::string_view bytes)
{
    auto read = read_submission(bytes);
    if (!read) {
        require(!read.error().message.empty() && is_valid_utf8(read.error().message));
        return;
    }
    require(!read->jobs.empty() && (read->many || read->jobs.size() == 1));
    for (auto& j : read->jobs) {
        require(bytes.find(j.what.body) != std::string_view::npos);
        require(nlohmann::json::accept(to_valid_utf8(j.what.body)));
        auto how = classify("POST", j.what.target);
        require(how.what == kind::generation || how.what == kind::embedding);
        auto facts = scan_json(j.what.body, how.where);
        require(facts.has_value() && !facts->model.empty() && !j.model.empty());
        require(!j.batch || (!j.batch->empty() && is_valid_utf8(*j.batch)));
        job shown;
        shown.target = j.what.target;
        shown.batch = j.batch;
        require(nlohmann::json::accept(job_json(shown)));
    }
}

void check_events(std::string_view bytes)
{
    for (auto type : {"application/x-ndjson", "text/event-stream", "application/json"}) {
        answer_events whole(type, {1, 0, false});
        std::string at_once;
        whole.feed(bytes, at_once);
        whole.finish(at_once);
        require(whole.wants() == bytes.size());
        // Cut into pieces, by readers that each go on where the last one had told a record.
        std::string piecewise;
        event_id last{1, 0, false};
        while (last.at < bytes.size()) {
            answer_events part(type, *event_id_of(to_text(last)));
            for (int pieces = 0; pieces < 4 || part.told() == last; ++pieces) {
                auto piece = bytes.substr(part.wants(), 1 + bytes.size() % 7);
                part.feed(piece, piecewise);
                if (piece.empty()) {
                    part.finish(piecewise);
                    break;
                }
            }
            last = part.told();
        }
        require(piecewise == at_once);
    }
    if (auto id = event_id_of(bytes))
        require(event_id_of(to_text(*id)) == id);
    require(nlohmann::json::accept(answer_json("application/json", bytes)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    check_submission(bytes);
    check_events(bytes);
    return 0;
}
