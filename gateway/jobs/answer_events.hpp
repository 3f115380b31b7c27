// A job's answer re-told as server-sent events: each NDJSON object, each event of an event stream,
// or the whole of any other answer, with an id that says where it ends. Whoever comes back with
// that id is told what follows, and nothing twice. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

// "RUN.OFFSET", and ".end" behind it when the job's end was told.
struct event_id {
    unsigned run = 0;
    std::uint64_t at = 0;  // bytes of the run's answer
    bool end = false;
    bool operator==(const event_id&) const = default;
};
std::string to_text(const event_id& id);
std::optional<event_id> event_id_of(std::string_view text);

class answer_events {
public:
    // Goes on at `from`, which begins a record.
    answer_events(std::string_view content_type, event_id from);

    // Appends to `out` the records that `bytes`, the next of the answer, complete.
    void feed(std::string_view bytes, std::string& out);
    // The answer has ended well: what is left is a record too.
    void finish(std::string& out);

    // Where the next bytes to feed stand.
    std::uint64_t wants() const { return id_.at + carry_.size(); }
    // The last record told.
    const event_id& told() const { return id_; }

private:
    enum class shape : std::uint8_t { lines, events, whole };
    std::size_t record_end(std::size_t begin) const;
    void tell(std::string_view record, std::string& out) const;

    shape shape_;
    event_id id_;
    std::string carry_;
    std::size_t looked_ = 0;
};

}  // namespace gateway
