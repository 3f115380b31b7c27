#include "admin/job_submission.hpp"

#include "base/json_cursor.hpp"
#include "base/text.hpp"
#include "downstream/classify.hpp"

#include <algorithm>
#include <array>

namespace gateway {

using boost::system::result;

namespace {

constexpr std::size_t most_at_once = 10'000;
constexpr auto no_object = "must be an object: {\"path\": \"/api/chat\", \"body\": {…}}";
constexpr std::size_t longest_name = 200;  // of a batch, of an idempotency key

fault wrong(const std::string& place, std::string why)
{
    return {fault_code::bad_body, place.empty() ? std::move(why) : place + ": " + why,
            whose::client, retry::no, 0};
}

class reader {
public:
    reader(std::string_view text, const std::function<bool(new_job)>& take)
        : text_(text), at_(text), take_(take)
    {
    }

    result<bool, fault> read()
    {
        bool many = at_.peek() == '[';
        if (many) {
            at_.each_element([&] {
                if (count_ == most_at_once)
                    return no("", "at most " + std::to_string(most_at_once) + " jobs at once");
                return one("[" + std::to_string(count_) + "]");
            });
        } else if (at_.peek() == '{') {
            one("");
        } else if (at_.skip() && at_.peek() == '\0' && at_.at() == text_.size()) {
            no("", no_object);
        }
        if (mistake_)
            return *mistake_;
        if (enough_)
            return many;
        if (at_.wrong() != nullptr || at_.peek() != '\0' || at_.at() != text_.size())
            return wrong("", "is not valid JSON at byte " + std::to_string(at_.at()) +
                                 (at_.wrong() != nullptr ? std::string(": ") + at_.wrong() : ""));
        if (count_ == 0)
            return wrong("", "there is no job in it");
        return many;
    }

private:
    bool no(const std::string& place, std::string why)
    {
        if (!mistake_)
            mistake_ = wrong(place, std::move(why));
        return false;
    }

    bool one(const std::string& place)
    {
        static constexpr std::array<std::string_view, 5> known = {"path", "body", "batch",
                                                                  "priority", "idempotency_key"};
        if (at_.peek() != '{')
            return no(place, no_object);
        new_job j;
        std::string priority = "background";
        std::string_view body;
        unsigned seen = 0;
        auto dot = [&](std::string_view key) {
            return place + (place.empty() ? "" : ".") + std::string(key);
        };
        bool good = at_.each_member([&](std::string_view raw) {
            auto key = json_unescape(raw);
            auto which = std::size_t(std::find(known.begin(), known.end(), std::string_view(key)) -
                                     known.begin());
            if (which == known.size()) {
                auto near = nearest(key, known);
                return no(dot(to_valid_utf8(key)), near.empty() ? "unknown key"
                                                                : "unknown key; did you mean \"" +
                                                                      std::string(near) + "\"?");
            }
            if ((seen & 1u << which) != 0)
                return no(dot(key), "stands twice");
            seen |= 1u << which;
            if (key == "body")
                return value(body);
            std::optional<std::string> text;
            if (!string_or_null(dot(key), text))
                return false;
            if (key == "path")
                j.what.target = text.value_or("");
            else if (key == "priority")
                priority = text.value_or("background");
            else if (text && (text->empty() || text->size() > longest_name))
                return no(dot(key), "must be 1 to " + std::to_string(longest_name) + " bytes long");
            else
                (key == "batch" ? j.batch : j.idempotency_key) = std::move(text);
            return true;
        });
        if (!good)
            return false;
        if (priority != "background" && priority != "interactive")
            return no(dot("priority"), "must be \"background\" or \"interactive\"");
        j.interactive = priority == "interactive";
        if (!what_is_asked(dot("path"), dot("body"), body, j))
            return false;
        ++count_;
        enough_ = !take_(std::move(j));
        return !enough_;
    }

    // The value as it is written.
    bool value(std::string_view& raw)
    {
        at_.peek();
        auto begin = at_.at();
        if (!at_.skip())
            return false;
        raw = text_.substr(begin, at_.at() - begin);
        return true;
    }

    bool string_or_null(const std::string& place, std::optional<std::string>& to)
    {
        if (at_.peek() == 'n')
            return at_.skip();
        if (at_.peek() != '"')
            return no(place, "must be a string");
        std::string_view raw;
        if (!at_.string(raw))
            return false;
        to = json_unescape(raw);
        return is_valid_utf8(*to) || no(place, "is not valid UTF-8");
    }

    bool what_is_asked(const std::string& path, const std::string& place, std::string_view body,
                       new_job& j)
    {
        auto how = classify("POST", j.what.target);
        bool runs = how.what == kind::generation || how.what == kind::embedding;
        if (!runs || how.where == endpoint::transcriptions)
            return no(path,
                      "must be a path that takes JSON and runs a model: \"/api/chat\", "
                      "\"/v1/chat/completions\", \"/api/embed\", …");
        if (!body.starts_with('{'))
            return no(place, "must be the object that the path takes");
        auto facts = scan_json(body, how.where);
        if (!facts)
            return no(place, facts.error().message);
        if (facts->model.empty())
            return no(place, "names no model");
        j.what.body = body;
        j.what.fields = "Content-Type: application/json\r\n";
        j.model = canonical_model(facts->model);
        return true;
    }

    std::string_view text_;
    json_cursor at_;
    const std::function<bool(new_job)>& take_;
    std::size_t count_ = 0;
    bool enough_ = false;
    std::optional<fault> mistake_;
};

}  // namespace

result<bool, fault> each_submission(std::string_view body, const std::function<bool(new_job)>& take)
{
    return reader(body, take).read();
}

result<submission, fault> read_submission(std::string_view body)
{
    submission s;
    auto many = each_submission(body, [&](new_job j) {
        s.jobs.push_back(std::move(j));
        return true;
    });
    if (!many)
        return many.error();
    s.many = *many;
    return s;
}

}  // namespace gateway
