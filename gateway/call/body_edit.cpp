#include "call/body_edit.hpp"

#include "base/json_cursor.hpp"
#include "base/text.hpp"
#include "call/load_options.hpp"

#include <algorithm>
#include <vector>

namespace gateway {

namespace {

struct splice {
    byte_range at;  // of the body; empty: inserted there
    std::string text;
};

std::string name_of(std::string_view raw_key)
{
    return raw_key.find('\\') == raw_key.npos ? std::string(raw_key) : json_unescape(raw_key);
}

// Which members of one object go, each with the comma that it no longer needs: the one before it,
// or, while nothing has stayed yet, the one after it. Offsets are of the body.
class leaving {
public:
    explicit leaving(std::vector<splice>& splices) : splices_(splices) {}

    void member(byte_range at, bool goes)
    {
        if (goes && kept_) {
            cut({last_end_, at.end});
        } else if (goes && !going_) {
            going_ = true;
            first_ = at.begin;
        } else if (!goes && !kept_) {
            if (going_) {
                cut({first_, at.begin});
            }
            kept_ = true;
        }
        last_end_ = at.end;
    }
    // True: a member is left in the object.
    bool end()
    {
        if (!kept_ && going_) {
            cut({first_, last_end_});
        }
        return kept_;
    }

private:
    void cut(byte_range r) { splices_.push_back({r, {}}); }

    std::vector<splice>& splices_;
    bool kept_ = false;
    bool going_ = false;
    std::size_t first_ = 0;  // where the leading run of those that go begins
    std::size_t last_end_ = 0;
};

// Walks over the members of the object in `text`, which stands at `offset` of the body, and calls
// decide(name, value's range) → does it go? True when a member is left.
template <class Decide>
bool walk(std::string_view text, std::size_t offset, std::vector<splice>& splices, Decide decide)
{
    json_cursor json(text);
    leaving gone(splices);
    json.each_member([&](std::string_view raw_key) {
        const auto key_at = static_cast<std::size_t>(raw_key.data() - text.data()) - 1;
        json.peek();
        const auto from = json.at();
        if (!json.skip()) {
            return false;
        }
        const bool goes = decide(name_of(raw_key), byte_range{offset + from, offset + json.at()});
        gone.member({offset + key_at, offset + json.at()}, goes);
        return true;
    });
    return gone.end();
}

// Not empty of members, when nothing goes.
bool has_members(std::string_view object)
{
    json_cursor inside(object.substr(1));
    return inside.peek() != '}';
}

class editing {
public:
    editing(std::string_view body, const body_facts& facts, const body_edits& edits)
        : body_(body), facts_(facts), edits_(edits)
    {
    }

    std::string run();

private:
    void edit_options();
    void edit_top();
    void replace(byte_range at, std::string text) { splices_.push_back({at, std::move(text)}); }
    void insert_first(std::size_t brace, std::string members, bool others)
    {
        if (!members.empty()) {
            replace({brace + 1, brace + 1}, std::move(members) + (others ? "," : ""));
        }
    }
    std::string with_splices();

    std::string_view body_;
    const body_facts& facts_;
    const body_edits& edits_;
    std::vector<splice> splices_;
};

std::string editing::run()
{
    json_cursor start(body_);
    if (edits_.none() || start.peek() != '{') {
        return std::string(body_);
    }
    if (edits_.model && !facts_.model_value.empty()) {
        replace(facts_.model_value, json_quote(*edits_.model));
    }
    if (!facts_.options.empty()) {
        edit_options();
    }
    edit_top();
    return with_splices();
}

void editing::edit_options()
{
    const auto& at = facts_.options;
    const auto text = body_.substr(at.begin, at.end - at.begin);
    const bool takes_out = edits_.strip_load_options || edits_.num_ctx == 0;
    if (!takes_out && !edits_.num_ctx) {
        return;
    }
    bool others = has_members(text);
    if (takes_out) {
        others = walk(text, at.begin, splices_, [&](const std::string& name, byte_range) {
            return name == "num_ctx" ? edits_.num_ctx.value_or(0) == 0
                                     : edits_.strip_load_options && is_load_option(name);
        });
    }
    if (edits_.num_ctx.value_or(0) == 0) {
        return;
    }
    const auto number = std::to_string(*edits_.num_ctx);
    if (!facts_.num_ctx.empty()) {
        replace(facts_.num_ctx, number);
    } else {
        insert_first(at.begin, "\"num_ctx\":" + number, others);
    }
}

void editing::edit_top()
{
    const bool add_options = edits_.num_ctx.value_or(0) != 0 && facts_.options.empty();
    const bool take_shift = edits_.strip_load_options && !facts_.shift.empty();
    const auto brace = body_.find('{');
    bool others = has_members(body_.substr(brace));
    bool options_there = false;
    const auto wanted = add_options ? std::to_string(*edits_.num_ctx) : std::string();
    if (add_options || take_shift) {
        others = walk(body_, 0, splices_, [&](const std::string& name, byte_range value) {
            if (add_options && name == "options") {
                options_there = true;
                if (body_.substr(value.begin, value.end - value.begin) == "null") {
                    replace(value, "{\"num_ctx\":" + wanted + "}");
                }
            }
            return take_shift && name == "shift";
        });
    }
    std::string first;
    if (edits_.keep_alive && !facts_.keep_alive_value.empty()) {
        replace(facts_.keep_alive_value, *edits_.keep_alive);
    } else if (edits_.keep_alive) {
        first = "\"keep_alive\":" + *edits_.keep_alive;
    }
    if (add_options && !options_there) {
        first += (first.empty() ? "\"options\":{\"num_ctx\":" : ",\"options\":{\"num_ctx\":") +
                 wanted + "}";
    }
    insert_first(brace, std::move(first), others);
}

std::string editing::with_splices()
{
    // An insertion goes before what is cut at the same place.
    std::stable_sort(splices_.begin(), splices_.end(), [](const splice& a, const splice& b) {
        return a.at.begin != b.at.begin ? a.at.begin < b.at.begin : a.at.end < b.at.end;
    });
    std::string out;
    std::size_t grown = body_.size();
    for (const auto& s : splices_) {
        grown += s.text.size();
    }
    out.reserve(grown);
    std::size_t done = 0;
    for (const auto& s : splices_) {
        out += body_.substr(done, s.at.begin - done);
        out += s.text;
        done = s.at.end;
    }
    out += body_.substr(done);
    return out;
}

}  // namespace

std::string edited(std::string_view body, const body_facts& facts, const body_edits& edits)
{
    return editing(body, facts, edits).run();
}

}  // namespace gateway
