// A client's socket as a sink: frames the answer, tells the client of its wait, keeps the two
// points of no return, and never lets a cut answer look complete (SPEC §6, §8, §9).
#pragma once

#include "call/sink.hpp"
#include "downstream/connection.hpp"
#include "stream/reader.hpp"

#include <string>

namespace gateway {

class client_sink : public sink {
public:
    struct manners {
        bool http_1_0 = false;
        bool keep_alive = true;    // the client's wish, and ours
        bool head_only = false;    // the request was a HEAD
        std::string extra_fields;  // CORS: header lines of every answer
    };

    client_sink(client_connection& to, const call& c, manners m);
    ~client_sink() override;

    stop& ending() override { return ending_; }
    progress at() const override { return at_; }
    void tell(const queue_status& status, bool over, bool refresh) override;
    void head(const answer_head& h, const timing& t, const std::vector<attempt>& tried) override;
    void piece(char* data, std::size_t size, bool last) override;
    void flush() override;
    awaitable<void> room() override;
    void fail(const fault& f, const std::vector<attempt>& tried, const timing& t) override;
    void fail_with(int status, std::string_view body, const std::vector<attempt>& tried,
                   const timing& t) override;
    void cut() override;

    // The answer has been given whole; the connection may carry another request if keep_alive().
    bool complete() const { return end_ == end::complete; }
    bool keep_alive() const { return complete() && manners_.keep_alive && !to_.lost_some(); }
    // It was cut: the session closes the connection, after a pause that lets the error be read (a
    // client that sees both at once may drop the text), or by a reset where nothing else tells it.
    bool was_cut() const { return end_ == end::cut; }

private:
    enum class end : std::uint8_t { open, complete, cut };
    enum class frame_as : std::uint8_t { chunks, length, until_close, nothing };

    bool fin_is_leaving() const;
    void client_leaves(client_connection::leaving how);
    void commit_early();
    void begin_fields(int status, std::string_view reason);
    void end_fields(std::optional<std::uint64_t> length, bool no_body);
    void story_fields(const timing& t, const std::vector<attempt>& tried);
    void whole_error(int status, std::string_view text, int retry_after,
                     const std::vector<attempt>& tried, const timing& t);
    void body(std::string_view bytes);
    void finish();
    void after_write();

    client_connection& to_;
    const call& call_;
    manners manners_;
    stop ending_;
    progress at_;
    end end_ = end::open;
    frame_as framing_ = frame_as::chunks;
    bool needs_permit_;
    std::string held_;      // a head that goes out with the first piece
    bool retells_ = false;  // NDJSON as server-sent events
    ndjson_to_sse retold_;
    char tail_[2] = {'\n', '\n'};  // the last two bytes of body sent
};

// "Sun, 06 Nov 1994 08:49:37 GMT", renewed once a second.
std::string_view http_date();

}  // namespace gateway
