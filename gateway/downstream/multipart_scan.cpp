// What the gateway must know of a multipart/form-data body: its `model` part. Read as strictly as
// clients write it (RFC 7578); where Go's mime/multipart, and so Ollama, might see other parts, it
// is refused.
#include "base/text.hpp"
#include "downstream/classify.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gateway {

namespace {

constexpr std::size_t longest_value = 1024;  // as for JSON bodies
constexpr std::size_t longest_part_head = 8192;
constexpr std::size_t most_parts = 256;

fault bad(std::string why)
{
    return fault{fault_code::bad_body, "bad multipart body: " + std::move(why), whose::client,
                 retry::no, 0};
}

struct parameters {
    std::string value;                                      // before the first ';', lower case
    std::vector<std::pair<std::string, std::string>> list;  // names in lower case
    bool has(std::string_view name) const { return find(name) != nullptr; }
    const std::string* find(std::string_view name) const
    {
        for (const auto& [key, text] : list) {
            if (key == name) {
                return &text;
            }
        }
        return nullptr;
    }
};

bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string_view take_token(std::string_view& s)
{
    const auto end =
        static_cast<std::size_t>(std::find_if_not(s.begin(), s.end(), is_token_char) - s.begin());
    const auto token = s.substr(0, end);
    s.remove_prefix(end);
    return token;
}

// `form-data; name="model"`, `multipart/form-data; boundary=x`; nullopt when it is not well-formed
// or names a parameter twice.
std::optional<parameters> parse_parameters(std::string_view s)
{
    parameters p;
    const auto semicolon = std::min(s.find(';'), s.size());
    p.value = to_lower(trim(s.substr(0, semicolon)));
    s.remove_prefix(semicolon);
    while (!(s = trim(s)).empty()) {
        if (s.front() != ';') {
            return std::nullopt;
        }
        s = trim(s.substr(1));
        if (s.empty()) {
            break;  // a trailing semicolon
        }
        std::string name = to_lower(take_token(s));
        if (name.empty() || !s.starts_with('=') || p.has(name)) {
            return std::nullopt;
        }
        s.remove_prefix(1);
        std::string value;
        if (s.starts_with('"')) {
            std::size_t i = 1;
            for (; i < s.size() && s[i] != '"'; ++i) {
                // Browsers of old sent paths: only these two are escapes.
                if (s[i] == '\\' && i + 1 < s.size() && (s[i + 1] == '"' || s[i + 1] == '\\')) {
                    ++i;
                }
                value += s[i];
            }
            if (i == s.size()) {
                return std::nullopt;
            }
            s.remove_prefix(i + 1);
        } else {
            value = take_token(s);
            if (value.empty()) {
                return std::nullopt;
            }
        }
        p.list.emplace_back(std::move(name), std::move(value));
    }
    return p;
}

struct part_head {
    std::string name;  // empty: not a form part
    bool file = false;
    bool encoded = false;
};

// `head` ends with the CRLF of its last line; empty when the part has no fields.
std::optional<part_head> parse_part_head(std::string_view head)
{
    part_head part;
    bool disposed = false;
    while (!head.empty()) {
        const auto line_end = head.find("\r\n");
        const auto line = head.substr(0, line_end);
        head.remove_prefix(line_end + 2);
        std::string_view rest = line;
        const auto name = take_token(rest);
        if (name.empty() || !rest.starts_with(':') ||
            line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
            return std::nullopt;
        }
        const auto value = trim(rest.substr(1));
        if (iequals(name, "content-transfer-encoding")) {
            part.encoded =
                !iequals(value, "7bit") && !iequals(value, "8bit") && !iequals(value, "binary");
        }
        if (!iequals(name, "content-disposition")) {
            continue;
        }
        const auto disposition = parse_parameters(value);
        if (disposed || !disposition) {
            return std::nullopt;
        }
        disposed = true;
        for (const auto& [key, text] : disposition->list) {
            if (key.starts_with("name*")) {
                return std::nullopt;  // RFC 2231 says the name another way
            }
            part.file = part.file || key.starts_with("filename");
        }
        if (disposition->value == "form-data" && disposition->has("name")) {
            part.name = *disposition->find("name");
        }
    }
    return part;
}

// `model` in the URL's query goes before the part of that name (net/http Request.FormValue).
bool query_names_model(std::string_view query)
{
    for (const std::string_view pair : split(query, '&')) {
        const auto key = percent_decode(pair.substr(0, pair.find('=')));
        if (key && *key == "model") {
            return true;
        }
    }
    return false;
}

class scan {
public:
    scan(std::string_view body, std::string_view boundary)
        : body_(body), delimiter_("\r\n--" + std::string(boundary))
    {
    }

    boost::system::result<body_facts, fault> run();

private:
    enum class after : std::uint8_t { part, end, broken };

    after delimiter_line();
    std::size_t next_delimiter(std::size_t from) const;
    const char* take(const part_head& part, byte_range content);

    std::string_view body_;
    std::string delimiter_;
    std::size_t at_ = 0;
    body_facts facts_;
    bool model_seen_ = false;
};

// Just after a delimiter: another part, or the end. Anything else on that line, and Go might go on
// to look for a first part further down.
scan::after scan::delimiter_line()
{
    const bool last = body_.substr(at_).starts_with("--");
    const auto text = body_.find_first_not_of(" \t", last ? at_ + 2 : at_);
    if (text == std::string_view::npos) {
        return last ? after::end : after::broken;
    }
    if (!body_.substr(text).starts_with("\r\n")) {
        return after::broken;
    }
    at_ = text + 2;
    return last ? after::end : after::part;
}

// Where the content of a part ends. The delimiter counts when what follows it could end its line,
// as in multipart.go matchAfterPrefix.
std::size_t scan::next_delimiter(std::size_t from) const
{
    for (;;) {
        const auto found = body_.find(delimiter_, from);
        if (found == std::string_view::npos) {
            return found;
        }
        const auto after = found + delimiter_.size();
        if (after == body_.size() ||
            std::string_view(" \t\r\n-").find(body_[after]) != std::string_view::npos) {
            return found;
        }
        from = found + 1;
    }
}

// A content; says what is wrong with it.
const char* scan::take(const part_head& part, byte_range content)
{
    const auto value = body_.substr(content.begin, content.end - content.begin);
    if (part.name == "model") {
        if (model_seen_ || part.file || part.encoded) {
            return "an ambiguous `model`";
        }
        if (value.size() > longest_value) {
            return "the model name is too long";
        }
        model_seen_ = true;
        facts_.model = value;
        facts_.model_value = content;
    } else if (part.name == "stream" && (value == "true" || value == "false")) {
        facts_.stream = value == "true";
    }
    return nullptr;
}

boost::system::result<body_facts, fault> scan::run()
{
    facts_.empty_prompt = false;
    facts_.size = body_.size();
    const auto opening = std::string_view(delimiter_).substr(2);
    at_ = body_.starts_with("\r\n") ? 2 : 0;
    if (!body_.substr(at_).starts_with(opening)) {
        return bad("it does not begin with its boundary");
    }
    at_ += opening.size();
    for (std::size_t parts = 0; parts <= most_parts; ++parts) {
        switch (delimiter_line()) {
            case after::end: return facts_;
            case after::broken: return bad("a broken boundary line");
            case after::part: break;
        }
        std::size_t content = at_;
        if (body_.substr(at_).starts_with("\r\n")) {
            content += 2;
        } else {
            const auto blank = body_.substr(at_, longest_part_head).find("\r\n\r\n");
            if (blank == std::string_view::npos) {
                return bad("a part without the end of its head");
            }
            content = at_ + blank + 4;
        }
        const auto head = parse_part_head(body_.substr(at_, content - 2 - at_));
        if (!head) {
            return bad("a part with a broken head");
        }
        // An empty content has its delimiter's CRLF in common with the head's empty line.
        const auto end = next_delimiter(content - 2);
        if (end == std::string_view::npos) {
            return bad("a part without an end");
        }
        if (const char* wrong = take(*head, {std::min(content, end), end}); wrong != nullptr) {
            return bad(wrong);
        }
        at_ = end + delimiter_.size();
    }
    return bad("too many parts");
}

}  // namespace

boost::system::result<body_facts, fault> scan_multipart(std::string_view body,
                                                        std::string_view content_type,
                                                        std::string_view query)
{
    if (to_lower(content_type).find("multipart") == std::string::npos) {
        body_facts facts;  // Ollama says that it wants a form
        facts.empty_prompt = false;
        facts.size = body.size();
        return facts;
    }
    const auto type = parse_parameters(content_type);
    const std::string* boundary =
        type && type->value == "multipart/form-data" ? type->find("boundary") : nullptr;
    const bool said_again =
        type && std::any_of(type->list.begin(), type->list.end(), [](const auto& p) {
            return p.first.find('*') != std::string::npos;  // RFC 2231
        });
    if (boundary == nullptr || boundary->empty() || boundary->size() > 70 || said_again) {
        return bad("no usable boundary in Content-Type");
    }
    if (query_names_model(query)) {
        return bad("`model` in the query goes before the form's, send one of them");
    }
    return scan(body, *boundary).run();
}

}  // namespace gateway
