// The exchange of a session that is fuzzed, played turn by turn, and the pages it may ask for. It
// keeps to what the real one does: one head, then pieces, one end; a cut when the client has gone.
#pragma once

#include "call/sink.hpp"
#include "downstream/pages.hpp"
#include "require.hpp"
#include "wire/chunk_frame.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gateway {

// What the exchange does next.
struct turn {
    enum class what : std::uint8_t { tell, head, piece, flush, room, last, fail, fail_with, cut };
    what act;
    std::uint8_t wish;
};

// The exchange, played. One call at a time: a session is one coroutine.
class played_exchange : public service {
public:
    explicit played_exchange(asio::io_context& io) : io_(io), news_(io) {}

    void play(turn m)
    {
        if (!busy_)
            return;
        moves_.push_back(m);
        news_.tell();
    }

    awaitable<void> serve(call& c, sink& to) override
    {
        require(!busy_);
        busy_ = true;
        moves_.clear();
        left_.reset();
        told_head_ = false;
        stop::hook on_end(to.ending(), [this] { news_.tell(); });
        auto up = std::make_shared<upload_state>(io_);
        if (c.streamed != nullptr)
            spawn(io_, "upload", take(c, up));
        else
            up->running = false;
        bool over = false;
        while (!over) {
            if (to.ending().requested()) {
                to.cut();
                cut_.push_back(c.id);
                break;
            }
            if (moves_.empty()) {
                co_await news_.wait_until();
                continue;
            }
            auto m = moves_.front();
            moves_.pop_front();
            if (m.act == turn::what::room) {
                if (!needs_permit(c))
                    co_await to.room();
                continue;
            }
            over = make(m, c, to);
        }
        if (up->running) {
            c.streamed->abandon();
            while (up->running)
                co_await up->over.wait_until();
        }
        busy_ = false;
    }

    const std::vector<std::string>& cut() const { return cut_; }

private:
    struct upload_state {
        explicit upload_state(asio::io_context& io) : over(io) {}
        event over;
        bool running = true;
    };

    static bool needs_permit(const call& c)
    {
        return c.what == kind::generation || c.what == kind::embedding;
    }

    awaitable<void> take(call& c, std::shared_ptr<upload_state> up)
    {
        for (;;) {
            auto piece = co_await c.streamed->next();
            if (piece.empty())
                break;
        }
        up->running = false;
        up->over.tell();
    }

    // True when the call is over.
    bool make(turn m, const call& c, sink& to)
    {
        static const fault broken{fault_code::upstream_failed, "it broke", whose::upstream,
                                  retry::no, 1};
        switch (m.act) {
            case turn::what::tell: {
                queue_status s;
                s.position = m.wish;
                bool refresh = m.wish % 4 == 3 && (c.where == endpoint::chat_completions ||
                                                   c.where == endpoint::completions);
                if (c.told != telling::silent && !told_head_ && needs_permit(c))
                    to.tell(s, m.wish % 2 == 0, refresh);
                return false;
            }
            case turn::what::head: return give_head(m.wish, c, to);
            case turn::what::flush: to.flush(); return false;
            case turn::what::piece:
            case turn::what::last:
                if (!told_head_)
                    give_head(0, c, to);
                return give_piece(m, to);
            case turn::what::fail:
                if (to.at().head_committed)
                    cut_.push_back(c.id);
                to.fail(broken, {}, {});
                return true;
            case turn::what::fail_with:
                if (!to.at().head_committed || told_head_)
                    return false;
                cut_.push_back(c.id);
                to.fail_with(500, R"({"error":"no"})", {}, {});
                return true;
            case turn::what::cut:
                if (!to.at().head_committed)
                    return false;
                cut_.push_back(c.id);
                to.cut();
                return true;
            case turn::what::room: break;
        }
        return false;
    }

    bool give_head(std::uint8_t wish, const call& c, sink& to)
    {
        if (told_head_)
            return false;
        told_head_ = true;
        answer_head h;
        h.status = to.at().head_committed || wish % 4 == 0 ? 200 : wish % 4 == 1 ? 404 : 200;
        h.content_type = c.framed == shape::one_piece ? "application/json" : "application/x-ndjson";
        h.fields = "Content-Type: " + h.content_type + "\r\nX-From: upstream\r\n";
        if (wish % 8 >= 4) {
            h.length = wish / 8 * 16;
            left_ = h.length;
        }
        to.head(h, {}, {});
        return h.length == 0 && give_piece({turn::what::last, 0}, to);
    }

    bool give_piece(turn m, sink& to)
    {
        std::size_t size = m.wish % 64;
        if (m.wish >= 250)
            size = 20'000;  // more than a client that does not read takes
        bool last = m.act == turn::what::last;
        if (left_) {
            size = std::min<std::size_t>(size, *left_);
            if (last)
                size = *left_;
            *left_ -= size;
            last = *left_ == 0;
        }
        std::string room(frame_headroom + size + frame_tailroom, 'x');
        if (size != 0)
            room[frame_headroom + size - 1] = '\n';
        to.piece(room.data() + frame_headroom, size, last);
        return last;
    }

    asio::io_context& io_;
    event news_;
    std::deque<turn> moves_;
    bool busy_ = false;
    bool told_head_ = false;
    std::optional<std::uint64_t> left_;
    std::vector<std::string> cut_;  // ids of calls whose answer had begun and was cut
};

class played_pages : public pages {
public:
    awaitable<void> answer(const page_request& r, responder& to) override
    {
        if (r.head.path != "/gateway/events") {
            to.json(200, "{}");
            co_return;
        }
        to.begin_events();
        for (int n = 0; n < 3; ++n) {
            to.event("queue", "{}");
            auto there = co_await to.pause(std::chrono::seconds(1));
            if (!there)
                co_return;
        }
        to.end();
    }
};

}  // namespace gateway
