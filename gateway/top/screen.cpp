#include "top/screen.hpp"

#include "base/text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

namespace gateway::top {

using json = nlohmann::json;

namespace {

// What stands there comes from clients too: nothing of it may move the cursor.
std::string tame(std::string_view text)
{
    std::string clean;
    auto valid = to_valid_utf8(text);
    for (std::size_t i = 0; i < valid.size(); ++i) {
        auto c = static_cast<unsigned char>(valid[i]);
        bool c1 = c == 0xc2 && i + 1 < valid.size() &&
                  static_cast<unsigned char>(valid[i + 1]) < 0xa0;  // U+0080 to U+009F
        if (c < 0x20 || c == 0x7f || c1) {
            clean += '?';
            i += c1;
        } else {
            clean += valid[i];
        }
    }
    return clean;
}

bool begins_character(char c)
{
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
}

std::size_t characters(std::string_view text)
{
    return std::size_t(std::count_if(text.begin(), text.end(), begins_character));
}

// Its first `most` characters; what is cut ends in "~".
std::string cut(std::string_view text, std::size_t most)
{
    if (characters(text) <= most)
        return std::string(text);
    std::string kept;
    std::size_t n = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (begins_character(text[i]) && ++n == most)
            break;
        kept += text[i];
    }
    return most == 0 ? std::string() : kept + "~";
}

std::string left(std::string_view text, std::size_t width)
{
    auto t = cut(text, width);
    return t + std::string(width - characters(t), ' ');
}

std::string right(std::string_view text, std::size_t width)
{
    auto t = cut(text, width);
    return std::string(width - characters(t), ' ') + t;
}

std::string text_of(const json& in, const char* key)
{
    auto found = in.find(key);
    return found != in.end() && found->is_string() ? tame(found->get<std::string>())
                                                   : std::string();
}

double number_of(const json& in, const char* key)
{
    auto found = in.find(key);
    return found != in.end() && found->is_number() ? found->get<double>() : 0;
}

bool truth_of(const json& in, const char* key)
{
    auto found = in.find(key);
    return found != in.end() && found->is_boolean() && found->get<bool>();
}

const json& list_of(const json& in, const char* key)
{
    static const json none = json::array();
    auto found = in.find(key);
    return found != in.end() && found->is_array() ? *found : none;
}

std::string whole(double n)
{
    return std::to_string(std::llround(n));
}

std::string gib(double bytes)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.1f GiB", bytes / double(1ull << 30));
    return text;
}

class page {
public:
    page(const json& status, std::size_t width) : s_(status), width_(width) {}

    std::vector<line> lines(std::size_t height)
    {
        head();
        upstreams();
        models();
        // What runs and waits gets what is left but for a few lines of what has ended.
        auto most = std::size_t(-1);
        if (height != 0) {
            auto used = out_.size() + 2;
            most = height > used + 8 ? height - used - 8 : 1;
        }
        calls(most);
        most = height == 0 ? 10 : height > out_.size() + 2 ? height - out_.size() - 2 : 0;
        recent(most);
        if (height != 0 && out_.size() > height)
            out_.resize(height);
        return std::move(out_);
    }

private:
    void say(std::string_view text, look as = look::plain)
    {
        out_.push_back({cut(text, width_), as});
    }

    void head()
    {
        auto title = "ollama-gateway " + text_of(s_, "version") + "  up " +
                     span(number_of(s_, "uptime_s") * 1000);
        std::string state = truth_of(s_, "draining") ? "draining" : "serving";
        if (characters(title) + state.size() + 2 <= width_)
            title = left(title, width_ - state.size()) + state;
        say(title, look::title);
        for (const auto& w : list_of(s_, "warnings"))
            if (w.is_string())
                say("! " + tame(w.get<std::string>()), look::wrong);
    }

    void upstreams()
    {
        for (const auto& u : list_of(s_, "upstreams")) {
            double used = 0;
            for (const auto& m : list_of(s_, "models"))
                if (text_of(m, "upstream") == text_of(u, "name"))
                    used += number_of(m, "size_vram");
            auto text = left(text_of(u, "name"), 12) + " " + (truth_of(u, "up") ? "up  " : "DOWN") +
                        "  permits " + whole(number_of(u, "in_use")) + "/" +
                        whole(number_of(u, "permits")) + "  vram " + gib(used);
            if (number_of(u, "vram_budget") > 0)
                text += " of " + gib(number_of(u, "vram_budget"));
            text += "  " + text_of(u, "url");
            say(text, truth_of(u, "up") ? look::plain : look::wrong);
        }
    }

    void models()
    {
        const auto& all = list_of(s_, "models");
        if (all.empty())
            return;
        auto name = flexible(55);
        say("");
        say(left("MODEL", name) + " " + left("STATE", 10) + right("RUN", 5) + right("WAIT", 6) +
                right("VRAM", 10) + right("SILENT", 11) + "  AT",
            look::heading);
        for (const auto& m : all) {
            auto state = text_of(m, "state");
            auto silent = number_of(m, "silence_s") * 1000;
            say(left(text_of(m, "name"), name) + " " +
                    left(state == "ready" ? "loaded" : state, 10) +
                    right(whole(number_of(m, "running")), 5) +
                    right(whole(number_of(m, "waiting")), 6) +
                    right(number_of(m, "size_vram") > 0 ? gib(number_of(m, "size_vram")) : "-",
                          10) +
                    right(silent >= 1000 ? span(silent) : "-", 11) + "  " + text_of(m, "upstream"),
                state == "stuck"               ? look::wrong
                : number_of(m, "running") != 0 ? look::runs
                : number_of(m, "waiting") != 0 ? look::waits
                                               : look::plain);
        }
    }

    void calls(std::size_t most)
    {
        const auto& all = list_of(s_, "calls");
        auto total = std::max(std::size_t(number_of(s_, "calls_total")), all.size());
        std::size_t waiting = 0, running = 0;
        std::set<std::string> seen;
        for (const auto& m : list_of(s_, "models")) {
            running += std::size_t(number_of(m, "running"));
            // Calls wait for a model, wherever it may run: each upstream that has it says the same.
            if (seen.insert(text_of(m, "name")).second)
                waiting += std::size_t(number_of(m, "waiting"));
        }
        auto counts = whole(double(running)) + " running, " + whole(double(waiting)) + " waiting";
        auto jobs = s_.find("jobs");
        if (jobs != s_.end() && number_of(*jobs, "running") + number_of(*jobs, "queued") > 0)
            counts += "; jobs: " + whole(number_of(*jobs, "running")) + " running, " +
                      whole(number_of(*jobs, "queued")) + " queued";
        say("");
        say(counts, waiting != 0 ? look::waits : look::runs);
        if (all.empty())
            return;
        auto model = flexible(56);
        say(left("PLACE", 6) + left("CLIENT", 18) + " " + left("MODEL", model) + " " +
                left("PHASE", 11) + right("WAITED", 10) + right("AGE", 10),
            look::heading);
        std::size_t shown = 0;
        for (const auto& c : all) {
            if (shown == most)
                break;
            ++shown;
            auto place = c.find("position");
            bool waits = place != c.end() && place->is_number();
            auto phase = text_of(c, "phase");
            if (phase == "loading_model")
                phase = "loading";
            say(left(waits ? whole(number_of(c, "position")) : "runs", 6) +
                    left(text_of(c, "client"), 18) + " " + left(text_of(c, "model"), model) + " " +
                    left(phase, 11) + right(span(number_of(c, "waited_ms")), 10) +
                    right(span(number_of(c, "age_s") * 1000), 10),
                waits ? look::waits : look::runs);
        }
        if (shown < total)
            say("and " + whole(double(total - shown)) + " more", look::quiet);
    }

    void recent(std::size_t most)
    {
        const auto& all = list_of(s_, "recent");
        if (all.empty() || most == 0)
            return;
        auto model = flexible(66);
        say("");
        say(left("ENDED", 15) + " " + left("CLIENT", 18) + " " + left("MODEL", model) + " " +
                right("QUEUE", 10) + right("FIRST", 10) + right("TOTAL", 10),
            look::heading);
        std::size_t shown = 0;
        for (const auto& r : all) {
            if (shown++ == most)
                break;
            auto how = text_of(r, "outcome");
            auto first = r.find("first_byte_ms");
            bool came = first != r.end() && first->is_number();
            say(left(how, 15) + " " + left(text_of(r, "client"), 18) + " " +
                    left(text_of(r, "model"), model) + " " +
                    right(span(number_of(r, "queue_ms")), 10) +
                    right(came ? span(number_of(r, "first_byte_ms")) : "-", 10) +
                    right(span(number_of(r, "total_ms")), 10),
                how == "ok" ? look::quiet : look::wrong);
        }
    }

    // What a column of names gets when the others take `rest`.
    std::size_t flexible(std::size_t rest) const
    {
        return std::clamp<std::size_t>(width_ > rest ? width_ - rest : 0, 12, 48);
    }

    const json& s_;
    std::size_t width_;
    std::vector<line> out_;
};

const char* colour(look as)
{
    switch (as) {
        case look::plain: return "";
        case look::title: return "\x1b[1m";
        case look::heading: return "\x1b[4m";
        case look::runs: return "\x1b[94m";
        case look::waits: return "\x1b[91m";
        case look::wrong: return "\x1b[1;31m";
        case look::quiet: return "\x1b[2m";
    }
    return "";
}

}  // namespace

std::string span(double ms)
{
    char text[48];
    auto whole_seconds = std::llround(std::floor(ms / 1000));
    if (ms < 1000)
        std::snprintf(text, sizeof text, "%lld ms", std::llround(ms));
    else if (ms < 10'000)
        std::snprintf(text, sizeof text, "%.1f s", ms / 1000);
    else if (ms < 60'000)
        std::snprintf(text, sizeof text, "%lld s", whole_seconds);
    else if (ms < 3'600'000)
        std::snprintf(text, sizeof text, "%lld min %02lld", whole_seconds / 60, whole_seconds % 60);
    else if (ms < 86'400'000)
        std::snprintf(text, sizeof text, "%lld h %02lld", whole_seconds / 3600,
                      whole_seconds / 60 % 60);
    else
        std::snprintf(text, sizeof text, "%lld d %lld h", whole_seconds / 86400,
                      whole_seconds / 3600 % 24);
    return text;
}

std::vector<line> draw(std::string_view status, std::size_t width, std::size_t height)
{
    auto s = json::parse(status, nullptr, false);
    if (!s.is_object())
        return {{cut("what came is no status", width), look::wrong}};
    return page(s, width).lines(height);
}

std::string paint(const std::vector<line>& lines, bool color, std::string_view end)
{
    std::string all;
    for (const auto& l : lines) {
        const char* how = color ? colour(l.as) : "";
        all.append(how).append(l.text);
        if (*how != 0)
            all += "\x1b[0m";
        all += end;
    }
    return all;
}

}  // namespace gateway::top
