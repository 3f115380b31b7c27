#include "base/log.hpp"

#include "base/digits.hpp"
#include "base/text.hpp"

#include <poll.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace gateway::log {
namespace {

// Gathers lines and hands them to standard error only when it takes them at once: a full pipe must
// never stop the event loop. poll() promises at least PIPE_BUF bytes of room when it says
// "writable".
class patient_stderr : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
public:
    std::uint64_t dropped() const { return dropped_; }

protected:
    void sink_it_(const spdlog::details::log_msg& message) override
    {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        if (gathered_.size() + line.size() > most_gathered) {
            ++dropped_;
            return;
        }
        gathered_.append(line.data(), line.size());
    }

    void flush_() override
    {
        std::size_t written = 0;
        while (written < gathered_.size()) {
            pollfd ready{STDERR_FILENO, POLLOUT, 0};
            if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0)
                break;
            auto piece = std::min<std::size_t>(gathered_.size() - written, at_once);
            auto n = ::write(STDERR_FILENO, gathered_.data() + written, piece);
            if (n <= 0)
                break;
            written += std::size_t(n);
        }
        gathered_.erase(0, written);
    }

private:
    static constexpr std::size_t most_gathered = 1 << 20;
    static constexpr std::size_t at_once = 4096;  // PIPE_BUF
    std::string gathered_;
    std::uint64_t dropped_ = 0;
};

struct output {
    std::shared_ptr<patient_stderr> sink = std::make_shared<patient_stderr>();
    spdlog::logger logger{"gateway", sink};
    bool json = false;

    output() { shape("text"); }

    void shape(std::string_view format)
    {
        json = format == "json";
        logger.set_pattern(
            json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})"
                 : "%Y-%m-%d %H:%M:%S.%e %l %v",
            json ? spdlog::pattern_time_type::utc : spdlog::pattern_time_type::local);
    }
};

output& out()
{
    static output o;
    return o;
}

spdlog::level::level_enum spd(level l)
{
    switch (l) {
        case level::trace: return spdlog::level::trace;
        case level::debug: return spdlog::level::debug;
        case level::info: return spdlog::level::info;
        case level::warn: return spdlog::level::warn;
        case level::error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

constexpr auto stands_bare = [] {
    std::array<bool, 256> all{};
    for (std::size_t c = '!'; c < 127; ++c)
        all[c] = c != '"' && c != '=';
    return all;
}();

void append_value(std::string& line, const item& i, bool json)
{
    switch (i.kind) {
        case item::type::integer: append_number(line, i.number); break;
        case item::type::real:
            // These are milliseconds and seconds.
            append_thousandths(line, std::llround(std::clamp(i.fraction, -1e15, 1e15) * 1000));
            break;
        case item::type::boolean: line += i.number != 0 ? "true" : "false"; break;
        case item::type::none: line += "null"; break;
        case item::type::text: {
            // In text lines a plain word stands bare; anything else is quoted, so that no byte from
            // outside can forge a line or a field.
            bool bare =
                !json && !i.text.empty() && std::all_of(i.text.begin(), i.text.end(), [](char c) {
                    return stands_bare[static_cast<unsigned char>(c)];
                });
            if (bare)
                line += i.text;
            else
                append_json_quoted(line, i.text);
            break;
        }
    }
}

}  // namespace

void open(std::string_view level_name, std::string_view format)
{
    out().shape(format);
    out().logger.set_level(spdlog::level::from_str(std::string(level_name)));
}

void flush()
{
    out().logger.flush();
}

std::uint64_t dropped()
{
    return out().sink->dropped();
}

bool enabled(level l)
{
    return out().logger.should_log(spd(l));
}

void write(level l, std::string_view message, items fields)
{
    auto& o = out();
    if (!o.logger.should_log(spd(l)))
        return;
    thread_local std::string line;
    line.clear();
    if (o.json) {
        line += "\"message\":";
        append_json_quoted(line, message);
    } else {
        line += message;
    }
    for (const auto& field : fields) {
        if (o.json) {
            line += ",\"";
            line += field.name;
            line += "\":";
        } else {
            line += ' ';
            line += field.name;
            line += '=';
        }
        append_value(line, field, o.json);
    }
    o.logger.log(spd(l), spdlog::string_view_t(line));
    if (l >= level::warn)
        o.logger.flush();
}

}  // namespace gateway::log
