#include "base/log.hpp"

#include "base/digits.hpp"
#include "base/text.hpp"

#include <poll.h>
#include <spdlog/sinks/sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <exception>
#include <limits>
#include <memory>

namespace gateway::log {
namespace {

// What is named put… writes where there is room for it, and returns the end of what it wrote.

// The first and the last bytes of a text that has as many, and no more than twice as many.
template <class Bytes>
void put_ends(char* to, std::string_view text)
{
    Bytes first, last;
    std::memcpy(&first, text.data(), sizeof first);
    std::memcpy(&last, text.data() + text.size() - sizeof last, sizeof last);
    std::memcpy(to, &first, sizeof first);
    std::memcpy(to + text.size() - sizeof last, &last, sizeof last);
}

// Most of it is short words, for which a call costs more than the copy.
char* put(char* to, std::string_view text)
{
    const auto n = text.size();
    if (n > 16)
        std::memcpy(to, text.data(), n);
    else if (n >= 8)
        put_ends<std::uint64_t>(to, text);
    else if (n >= 4)
        put_ends<std::uint32_t>(to, text);
    else if (n >= 2)
        put_ends<std::uint16_t>(to, text);
    else if (n == 1)
        *to = text.front();
    return to + n;
}

// The beginning of a line up to the fraction of its second: UTC in JSON, else local time. Most
// lines are of the same second as the one before.
class line_begin {
public:
    explicit line_begin(bool json) : json_(json) {}

    std::string_view of(std::time_t second)
    {
        if (second != second_) {
            std::tm parts{};
            json_ ? ::gmtime_r(&second, &parts) : ::localtime_r(&second, &parts);
            size_ = std::strftime(text_.data(), text_.size(),
                                  json_ ? R"({"time":"%Y-%m-%dT%H:%M:%S.)" : "%Y-%m-%d %H:%M:%S.",
                                  &parts);
            second_ = second;
        }
        return {text_.data(), size_};
    }

private:
    bool json_;
    std::time_t second_ = std::numeric_limits<std::time_t>::min();
    std::array<char, 64> text_;
    std::size_t size_ = 0;
};

// Gathers lines and hands them to standard error only when it takes them at once: a full pipe must
// never stop the event loop. poll() promises at least PIPE_BUF bytes of room when it says
// "writable".
class patient_stderr : public spdlog::sinks::sink {
public:
    std::uint64_t dropped() const { return dropped_; }
    bool json() const { return json_; }
    void shape(bool json)
    {
        json_ = json;
        begin_ = line_begin(json);
    }

    void log(const spdlog::details::log_msg& message) override
    {
        using namespace std::chrono;
        auto at = duration_cast<milliseconds>(message.time.time_since_epoch()).count();
        auto level = spdlog::level::to_string_view(message.level);
        std::array<char, 128> before;
        auto* to = put(before.data(), begin_.of(at / 1000));
        to = put_three_digits(to, unsigned(at % 1000));
        to = put(to, json_ ? R"(+00:00","level":")" : " ");
        to = put(to, {level.data(), level.size()});
        to = put(to, json_ ? "\"," : " ");
        std::string_view first(before.data(), std::size_t(to - before.data()));
        std::string_view rest(message.payload.data(), message.payload.size());
        const auto size = gathered_.size() + first.size() + rest.size();
        if (size > most_gathered) {
            ++dropped_;
            return;
        }
        gathered_.reserve(size);  // refused, it leaves no half of a line
        gathered_.append(first).append(rest);
    }

    void flush() override
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

    // A line has one of two forms, which no pattern describes.
    void set_pattern(const std::string& /*pattern*/) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter> /*other*/) override {}

private:
    static constexpr std::size_t most_gathered = 1 << 20;
    static constexpr std::size_t at_once = 4096;  // PIPE_BUF
    std::string gathered_;
    std::uint64_t dropped_ = 0;
    bool json_ = false;
    line_begin begin_{false};
};

struct output {
    std::shared_ptr<patient_stderr> sink = std::make_shared<patient_stderr>();
    spdlog::logger logger{"gateway", sink};
    std::string line;  // the one being written: room that is used again and again
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

struct for_each_byte {
    std::array<bool, 256> is{};
    bool of_all(std::string_view text) const
    {
        return std::all_of(text.begin(), text.end(),
                           [this](char c) { return is[static_cast<unsigned char>(c)]; });
    }
};

// What stands in JSON's quotes as it is, and what needs none in a line of text.
constexpr auto plain = [] {
    for_each_byte all;
    for (std::size_t c = ' '; c < 127; ++c)
        all.is[c] = c != '"' && c != '\\';
    return all;
}();
// The same of a whole text, eight bytes at a time: in a byte below 128, taking away 1 reaches the
// highest bit of nothing but 0.
bool all_plain(std::string_view text)
{
    constexpr std::uint64_t each = 0x0101010101010101;
    while (text.size() >= sizeof each) {
        std::uint64_t w;
        std::memcpy(&w, text.data(), sizeof w);
        auto control = w - each * ' ';
        auto quote = (w ^ each * '"') - each;
        auto backslash = (w ^ each * '\\') - each;
        auto del = (w ^ each * 127) - each;
        if (((control | quote | backslash | del | w) & each * 128) != 0)
            return false;
        text.remove_prefix(sizeof w);
    }
    return plain.of_all(text);
}
constexpr auto bare = [] {
    for_each_byte all;
    for (std::size_t c = '!'; c < 127; ++c)
        all.is[c] = c != '"' && c != '=';
    return all;
}();

// A byte of text becomes six in JSON at most ("\u0001"); with its quotes.
constexpr std::size_t longest_quoted(std::size_t n)
{
    return 2 + 6 * n;
}

// The longest that this can become, without the time and the level.
std::size_t longest(std::string_view message, items fields)
{
    constexpr std::size_t around_the_message = 12;  // "message": and the end
    constexpr std::size_t around_a_name = 4;
    auto n = around_the_message + longest_quoted(message.size());
    for (const auto& f : fields)
        n += f.name.size() + around_a_name + longest_number + longest_quoted(f.text.size());
    return n;
}

char* put_quoted(char* to, std::string_view text)
{
    if (!all_plain(text))
        return put(to, json_quote(text));
    *to++ = '"';
    to = put(to, text);
    *to++ = '"';
    return to;
}

char* put_value(char* to, const item& i, bool json)
{
    switch (i.kind) {
        case item::type::integer: return put_number(to, i.number);
        case item::type::milliseconds: return put_thousandths(to, i.number);
        case item::type::boolean: return put(to, i.number != 0 ? "true" : "false");
        case item::type::none: return put(to, "null");
        case item::type::text: break;
    }
    // In text lines a plain word stands bare; anything else is quoted, so that no byte from outside
    // can forge a line or a field.
    bool stands_bare = !json && !i.text.empty() && bare.of_all(i.text);
    return stands_bare ? put(to, i.text) : put_quoted(to, i.text);
}

char* put_line(char* to, std::string_view message, items fields, bool json)
{
    if (json) {
        to = put(to, "\"message\":");
        to = put_quoted(to, message);
    } else {
        to = put(to, message);
    }
    for (const auto& field : fields) {
        if (json)
            *to++ = ',';
        *to++ = json ? '"' : ' ';
        to = put(to, field.name);
        if (json)
            *to++ = '"';
        *to++ = json ? ':' : '=';
        to = put_value(to, field, json);
    }
    return put(to, json ? "}\n" : "\n");
}

}  // namespace

void open(std::string_view level_name, std::string_view format)
{
    out().sink->shape(format == "json");
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
    if (auto most = longest(message, fields); o.line.size() < most)
        o.line.resize(most);
    const char* end = put_line(o.line.data(), message, fields, o.sink->json());
    const spdlog::string_view_t line(o.line.data(), std::size_t(end - o.line.data()));
    // What the logger would do, but for its list of sinks, of which there is one.
    try {
        o.sink->log(spdlog::details::log_msg(o.logger.name(), spd(l), line));
    } catch (const std::exception&) {
        o.logger.log(spd(l), line);  // it tells what failed, should it fail again
    }
    if (l >= level::warn)
        o.logger.flush();
}

}  // namespace gateway::log
