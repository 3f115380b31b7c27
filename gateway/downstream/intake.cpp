#include "downstream/intake.hpp"

#include <algorithm>

namespace gateway {

using boost::system::result;

body_decoder decoder_for(const request_head& head)
{
    if (head.chunked)
        return body_decoder::chunked();
    if (head.content_length)
        return body_decoder::of_length(*head.content_length);
    return body_decoder::none();
}

namespace {

constexpr std::size_t taking = 256 * 1024;  // read ahead while a body is taken
constexpr std::size_t listening = 64 * 1024;
constexpr std::size_t at_a_time = 16 * 1024;  // of a body that streams through; not counted

fault bad_framing()
{
    return {fault_code::bad_request, "the body's framing is broken", whose::client, retry::no, 0};
}

fault no_memory()
{
    return {fault_code::overloaded, "out of memory for bodies (limits.memory)", whose::ours,
            retry::no, 1};
}

fault too_large(std::uint64_t most)
{
    return {fault_code::too_large,
            "the body is over limits.body (" + std::to_string(most) + " bytes)", whose::client,
            retry::no, 0};
}

// Of the memory for bodies each has this from its beginning, and more as more comes: what a client
// only announces keeps nobody else out.
constexpr std::uint64_t first_share = 16 * 1024;

}  // namespace

instant body_bounds::until(instant began, std::uint64_t received) const
{
    if (patience == duration{})
        return instant::max();
    auto earned = rate == 0 ? std::uint64_t{0} : received * 1000 / rate;
    return began + patience + std::chrono::milliseconds(earned);
}

client_upload::client_upload(client_connection& from, const request_head& head, body_bounds bounds)
    : from_(from), decoder_(decoder_for(head)), bounds_(bounds)
{
    if (!decoder_.done())
        from_.read_ahead(taking);
}

void client_upload::abandon()
{
    abandoned_ = true;
    from_.wake();
}

awaitable<std::span<const char>> client_upload::next()
{
    piece_.clear();
    while (piece_.empty() && !decoder_.done() && !bad_ && !abandoned_) {
        if (from_.ahead().empty()) {
            if (from_.left() != client_connection::leaving::no || from_.closed())
                break;
            auto began = steady::now();
            auto deadline = bounds_.until(began - waited_, received_);
            if (began >= deadline) {
                bad_ = true;
                break;
            }
            co_await from_.more_than(0, deadline);
            waited_ += steady::now() - began;
            continue;
        }
        piece_ = from_.ahead().substr(0, at_a_time);
        auto step = decoder_.decode(std::span(piece_.data(), piece_.size()));
        from_.consume(step.consumed);
        received_ += step.consumed;
        piece_.resize(step.payload);
        bad_ = step.bad;
    }
    if (decoder_.done() || bad_)
        from_.read_ahead(listening);
    co_return std::span<const char>(piece_.data(), piece_.size());
}

whole_body::whole_body(client_connection& from, const request_head& head, body_bounds bounds,
                       std::string& to, memory_budget::share& share)
    : from_(from), decoder_(decoder_for(head)), bounds_(bounds), to_(to), share_(share)
{
    if (head.content_length.value_or(0) > bounds.most)
        taken_ = too_large(bounds.most);
    else if (!decoder_.done() && !share.hold(first_share))
        taken_ = no_memory();
    if (taken_ && head.content_length)
        to.reserve(std::min<std::uint64_t>(*head.content_length, 1u << 20));  // not on trust alone
    from.read_ahead(taking);
}

whole_body::~whole_body()
{
    from_.read_ahead(listening);
}

bool whole_body::over()
{
    while (taken_ && !decoder_.done() && !from_.ahead().empty())
        take();
    if (!taken_ || decoder_.done())
        return true;
    if (from_.left() != client_connection::leaving::no || from_.closed())
        taken_ = fault{fault_code::client_gone, "", whose::client, retry::no, 0};
    else if (bounds_.closing)
        taken_ = fault{fault_code::draining, "the gateway is stopping", whose::ours,
                       retry::elsewhere, 5};
    else if (steady::now() >= deadline())
        taken_ = fault{fault_code::bad_request,
                       "the body came too slowly (limits.header_timeout, limits.body_rate)",
                       whose::client, retry::no, 0};
    return !taken_;
}

void whole_body::take()
{
    auto old = to_.size();
    to_.append(from_.ahead());
    auto step = decoder_.decode(std::span(to_.data() + old, to_.size() - old));
    from_.consume(step.consumed);
    received_ += step.consumed;
    to_.resize(old + step.payload);
    if (step.bad)
        taken_ = bad_framing();
    else if (to_.size() > bounds_.most)
        taken_ = too_large(bounds_.most);
    else if (to_.size() > share_.held() && !share_.hold(to_.size() + to_.size() / 2))
        taken_ = no_memory();
}

}  // namespace gateway
