// The words and the HTTP statuses of everything that can go wrong: the one table of SPEC §9.
#include "call/fault.hpp"

namespace gateway {

std::string_view word(fault_code code)
{
    switch (code) {
        case fault_code::queue_full: return "queue_full";
        case fault_code::queue_timeout: return "queue_timeout";
        case fault_code::no_upstream: return "no_upstream";
        case fault_code::upstream_failed: return "upstream_failed";
        case fault_code::timed_out: return "timed_out";
        case fault_code::model_stuck: return "model_stuck";
        case fault_code::bad_request: return "bad_request";
        case fault_code::bad_body: return "bad_body";
        case fault_code::too_large: return "too_large";
        case fault_code::head_too_large: return "head_too_large";
        case fault_code::unauthorized: return "unauthorized";
        case fault_code::forbidden: return "forbidden";
        case fault_code::overloaded: return "overloaded";
        case fault_code::loop: return "loop";
        case fault_code::not_found: return "not_found";
        case fault_code::bad_method: return "bad_method";
        case fault_code::cancelled: return "cancelled";
        case fault_code::draining: return "draining";
        case fault_code::conflict: return "conflict";
        case fault_code::jobs_unavailable: return "jobs_unavailable";
        case fault_code::client_gone: return "client_gone";
    }
    return "upstream_failed";
}

int http_status(fault_code code, dialect d)
{
    switch (code) {
        case fault_code::queue_full:
        case fault_code::queue_timeout:
            // Ollama's own status; 429 is the only one whose Retry-After LangChain JS honours, and
            // a 503 makes LibreChat fire seven requests (clients.md §4); 529 is Anthropic's own.
            return d == dialect::native ? 503 : d == dialect::openai ? 429 : 529;
        // Never 502 or 504 for a queue's reasons: a tunnel's edge may replace those bodies.
        case fault_code::no_upstream: return 503;
        case fault_code::upstream_failed: return 502;
        case fault_code::timed_out: return 504;
        case fault_code::model_stuck: return 503;
        case fault_code::bad_request: return 400;
        case fault_code::bad_body: return 400;
        case fault_code::too_large: return 413;
        case fault_code::head_too_large: return 431;
        case fault_code::unauthorized: return 401;
        case fault_code::forbidden: return 403;
        case fault_code::overloaded: return 503;
        case fault_code::loop: return 508;
        case fault_code::not_found: return 404;
        case fault_code::bad_method: return 405;
        case fault_code::cancelled: return 503;
        case fault_code::draining: return 503;
        case fault_code::conflict: return 409;
        case fault_code::jobs_unavailable: return 503;
        case fault_code::client_gone: return 499;  // for the log only: nobody is there to read it
    }
    return 502;
}

}  // namespace gateway
