#include "admin/job_intake.hpp"

#include "base/text.hpp"
#include "downstream/classify.hpp"
#include "downstream/forwarding.hpp"
#include "downstream/make_call.hpp"
#include "downstream/request_id.hpp"

namespace gateway {

using boost::system::result;

std::optional<std::string> owner_of(const identity& who)
{
    return who.key.empty() ? std::nullopt : std::optional<std::string>(who.key);
}

new_job job_of(const call& c, const page_request& r)
{
    new_job j;
    j.id = random_id();
    j.what.target = c.target;
    j.what.fields = upstream_fields(r.head);
    if (c.no_fallback)
        j.what.fields += "X-Gateway-No-Fallback: 1\r\n";  // for its call, which sends it no further
    j.what.body = c.body;
    j.model = c.model;
    j.client = c.client;
    j.owner = owner_of(r.who);
    j.interactive = iequals(r.head.get(field_name::x_gateway_priority), "interactive");
    if (auto key = r.head.get("Idempotency-Key"); !key.empty())
        j.idempotency_key = std::string(key);
    return j;
}

result<call, fault> call_of(const job& j, job_request what, std::shared_ptr<const config> settings,
                            std::string_view via, memory_budget& memory)
{
    request_head head;
    head.method = "POST";
    head.target = what.target;
    auto question = head.target.find('?');
    head.path = head.target.substr(0, question);
    if (question != std::string::npos)
        head.query = head.target.substr(question + 1);
    head.content_length = what.body.size();
    for (auto line : split(what.fields, '\n'))
        if (auto colon = line.find(':'); colon != std::string_view::npos)
            head.fields.push_back(
                {std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1)))});

    auto share = memory_budget::share(memory);
    if (!share.hold(what.body.capacity()))
        return fault{fault_code::overloaded, "out of memory for bodies (limits.memory)",
                     whose::ours, retry::elsewhere, 5};
    auto how = classify(head.method, head.path);
    identity who;
    who.client = j.client;
    who.key = j.owner.value_or("");
    call c;
    begin_call(c, head, how, who, std::move(settings), j.id, upstream_fields(head, {false, via}));
    c.background = !j.interactive;
    auto whole = add_body(c, head, how, who, std::move(what.body), std::move(share));
    if (!whole)
        return whole.error();
    // Its answer is kept as it comes, and whoever asks is told of its wait.
    if (c.framed == shape::native_sse)
        c.framed = shape::ndjson;
    c.told = telling::sse_raw;
    c.at_once = true;
    return result<call, fault>(std::move(c));
}

}  // namespace gateway
