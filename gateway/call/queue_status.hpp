// What a waiting client is told (SPEC §A). A value. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace gateway {

enum class phase : std::uint8_t {
    waiting,
    loading_model,
    starting,
    processing,
    streaming,
    answering,
};

constexpr const char* word(phase p)
{
    switch (p) {
        case phase::waiting: return "waiting";
        case phase::loading_model: return "loading_model";
        case phase::starting: return "starting";
        case phase::processing: return "processing";
        case phase::streaming: return "streaming";
        case phase::answering: return "answering";
    }
    return "waiting";
}

struct queue_status {
    phase status = phase::waiting;
    // 1: next; 0: being started; none: it takes nobody's turn (a load request).
    std::optional<std::size_t> position = 0;
    std::size_t queue_length = 0;  // without such
    std::int64_t waited_ms = 0;
    std::optional<std::int64_t> eta_ms;  // to the start of processing
    std::string model;
    std::string request_id;
    std::string message;
};

}  // namespace gateway
