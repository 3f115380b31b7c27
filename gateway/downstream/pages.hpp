// What the gateway answers itself: the interface behind which /gateway/… and the admin port stand,
// and the words to answer with.
#pragma once

#include "call/fault.hpp"
#include "downstream/connection.hpp"
#include "downstream/head.hpp"
#include "downstream/identity.hpp"
#include "proxy-config/config.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace gateway {

class responder {
public:
    struct manners {
        bool http_1_0 = false;
        bool keep_alive = true;
        bool head_only = false;
        std::string id;
        std::string extra_fields;
    };
    responder(client_connection& to, manners m) : to_(to), manners_(std::move(m)) {}

    // A whole answer. `fields`: further header lines, each with its CRLF.
    void whole(int status, std::string_view type, std::string_view body,
               std::string_view fields = {});
    void json(int status, std::string_view body) { whole(status, "application/json", body); }
    // A long one in parts, each given up as the client takes it.
    awaitable<void> json_in_parts(int status, std::vector<std::string> parts);
    void fail(const fault& f, dialect d = dialect::native, std::string_view fields = {});
    // The page is there, and takes only `methods`: "GET, HEAD".
    void takes_only(std::string_view methods);

    // An answer in pieces: server-sent events.
    void begin_events();
    void event(std::string_view name, std::string_view data);
    void comment(std::string_view text);
    void events(std::string_view text) { comment(text); }  // already written as such
    void end();
    // Waits; false when the client has left meanwhile (then nothing more need be said).
    awaitable<bool> pause(duration d);
    // Returns when the client has taken most of what was said; false when it has left.
    awaitable<bool> room();

    // Nothing of what was said still waits to be taken.
    bool taken() const { return to_.backlog() == 0; }
    bool answered() const { return answered_; }
    bool keep_alive() const { return manners_.keep_alive; }

private:
    void begin(int status, std::string_view type, std::string_view fields);
    void begin_whole(int status, std::string_view type, std::string_view fields, std::size_t size);

    client_connection& to_;
    manners manners_;
    std::string out_;
    bool answered_ = false;
};

struct page_request {
    const request_head& head;
    std::string body;
    identity who;
};

class pages {
public:
    virtual ~pages() = default;
    // Answers, always.
    virtual awaitable<void> answer(const page_request& r, responder& to) = 0;
    // How long a body may be; a page takes none that is longer than a few settings unless it says
    // so.
    virtual std::uint64_t longest_body(const request_head&, const config&) const
    {
        return 1u << 20;
    }
};

}  // namespace gateway
