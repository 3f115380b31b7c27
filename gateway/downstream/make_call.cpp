#include "downstream/make_call.hpp"

#include "base/text.hpp"
#include "base/wall_time.hpp"
#include "call/model_name.hpp"
#include "downstream/zstd_body.hpp"

#include <algorithm>

namespace gateway {

using boost::system::result;

namespace {

// ?queue_events=1 (or raw): as the header of that name.
std::string_view queue_events_of(const request_head& head)
{
    if (head.has(field_name::x_queue_events))
        return head.get(field_name::x_queue_events);
    if (head.query.empty())
        return {};
    for (auto part : split(head.query, '&'))
        if (part.starts_with("queue_events="))
            return part.substr(13);
    return {};
}

bool names_open_webui(const request_head& head)
{
    return head.has(field_name::any_x_openwebui);
}

}  // namespace

void begin_call(call& c, const request_head& head, const classified& how, const identity& who,
                std::shared_ptr<const config> settings, std::string id, std::string fields)
{
    c.id = std::move(id);
    c.client = who.client;
    c.key = who.key;
    c.background =
        who.background || iequals(head.get(field_name::x_gateway_priority), "background");
    c.no_fallback = trim(head.get(field_name::x_gateway_no_fallback)) == "1";
    c.upstream = head.get(field_name::x_gateway_upstream);
    c.where = how.where;
    c.what = how.what;
    c.words = how.words;
    c.method = head.method;
    c.target = head.target;
    c.fields = std::move(fields);
    c.languages = head.get(field_name::accept_language);
    c.arrived = steady::now();
    c.created = wall_clock::now();
    c.settings = std::move(settings);
}

result<void, fault> add_body(call& c, const request_head& head, const classified& how,
                             const identity& who, std::string body, memory_budget::share memory)
{
    result<body_facts, fault> facts = body_facts{};
    if (how.where == endpoint::transcriptions) {
        facts = scan_multipart(body, head.get(field_name::content_type), head.query);
    } else if (how.words != dialect::native &&
               iequals(head.get(field_name::content_encoding), "zstd")) {
        // Understood, and sent on as it came (Ollama reads it on /v1/*, ollama.md §6).
        auto plain = unpack_zstd(body);
        if (!plain)
            return plain.error();
        facts = scan_json(*plain, how.where);
        c.packed = true;
        if (facts)
            facts->size = body.size();
    } else {
        facts = scan_json(body, how.where);
    }
    if (!facts)
        return facts.error();
    c.facts = std::move(*facts);
    c.facts.size = std::min(c.facts.size, body.size());
    body.resize(c.facts.size);
    c.has_body = head.chunked || head.content_length.has_value();
    c.body = std::move(body);
    c.body_memory.emplace(std::move(memory));
    c.body_memory->hold(c.body.capacity());
    c.model = canonical_model(c.facts.model);
    c.what = refine(how, c.facts);

    asked a;
    a.accept = head.get(field_name::accept);
    a.queue_events = queue_events_of(head);
    a.heartbeat = head.get(field_name::x_gateway_heartbeat);
    a.open_webui = who.trusted_peer && names_open_webui(head);
    auto m = manner_of(how, c.facts, a);
    bool generates = c.what == kind::generation || c.what == kind::embedding;
    // A load, an unload and what Ollama refuses at once are answered in one piece.
    c.framed = generates ? m.framed : shape::one_piece;
    c.told = generates || m.told == telling::silent ? m.told : telling::padding;
    c.at_once = generates && m.at_once;
    return {};
}

}  // namespace gateway
