// One connection to a client: bytes read ahead, bytes it has not taken yet, and the news that it
// has left, in every phase. It stands in the ready set all the time; nothing is raced.
#pragma once

#include "async/event.hpp"
#include "async/ready_set.hpp"
#include "base/memory_budget.hpp"
#include "downstream/accepted_socket.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace gateway {

class client_connection {
public:
    enum class leaving : std::uint8_t {
        no,
        finished,  // FIN: it may still read
        broken,    // reset, or a write failed: nobody is there
    };

    client_connection(asio::io_context& io, accepted_socket s, memory_budget& budget);
    ~client_connection();  // closes
    client_connection(const client_connection&) = delete;
    client_connection& operator=(const client_connection&) = delete;

    // --- reading ---
    // What has come and was not consumed. Valid until the next co_await.
    std::string_view ahead() const;
    void consume(std::size_t n);
    // To be awaited at once: goes on when more than `have` bytes stand ahead, when the client is
    // leaving, at `deadline`; also for nothing, and when wake() was called: look again.
    auto more_than(std::size_t have, instant deadline)
    {
        bool at_once = waits_for_nothing(have, deadline);
        return news().wait(at_once);
    }
    void wake();
    // How much may be read ahead: a body being taken wants more than a client that only listens.
    void read_ahead(std::size_t most);

    leaving left() const;
    instant left_at() const;
    // Told once, when it leaves; a FIN may be followed by a break. Empty: nobody is told. It does
    // not destroy the connection.
    void on_leaving(std::function<void(leaving)> f);

    // Until on_leaving() is called again, its FIN is looked for also behind much more than else is
    // read ahead; what is too much even for that is dropped.
    void want_end();
    // Some of what it sent was dropped: what stands ahead may not go on, and is not to be served.
    bool lost_some() const;

    // --- writing: tried at once; the rest is kept and sent as the client takes it ---
    void write(std::string_view bytes);
    std::size_t backlog() const;
    // Kept here, and sent but not yet acknowledged.
    std::size_t untaken() const;
    // False once the memory for what it does not take is used up: then it should be cut.
    bool within_budget() const;
    // Returns when at most `bytes` are kept, the client is broken, or at `deadline`.
    awaitable<void> taken_down_to(std::size_t bytes, instant deadline);
    std::uint64_t written() const;

    // --- ending ---
    void shut();   // FIN after what has been written
    void close();  // at once; what is kept is lost
    void reset();  // at once, with a RST: a cut answer that has no other way to say so
    bool closed() const;

    bool unix_socket() const;
    const std::string& peer_address() const;  // empty for a unix socket

private:
    struct state;
    bool waits_for_nothing(std::size_t have, instant deadline);
    ready_set::place& news();

    std::unique_ptr<state> state_;
};

}  // namespace gateway
