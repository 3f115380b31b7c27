// What is read off a JSON body, and which bodies are refused because Ollama would read them
// otherwise.
#include "base/json_cursor.hpp"
#include "catch.hpp"
#include "downstream/classify.hpp"

#include <nlohmann/json.hpp>

#include <random>
#include <set>

using namespace gateway;

namespace {

body_facts read(const std::string& body, endpoint where)
{
    const auto r = scan_json(body, where);
    INFO(body.substr(0, 200));
    if (r.has_error()) {
        FAIL(r.error().message);
    }
    return *r;
}

std::string refusal(const std::string& body, endpoint where = endpoint::chat)
{
    const auto r = scan_json(body, where);
    if (r.has_value()) {
        return {};
    }
    CHECK(r.error().code == fault_code::bad_body);
    CHECK(r.error().by == whose::client);
    return r.error().message;
}

std::string at(const std::string& body, byte_range r)
{
    return body.substr(r.begin, r.end - r.begin);
}

bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

std::string nested(unsigned depth)
{
    return std::string(depth, '[') + std::string(depth, ']');
}

}  // namespace

TEST_CASE("a body's facts are read with their places")
{
    const std::string body =
        " {\"model\" : \"Llama3:8b\", \"messages\":[{\"role\":\"user\",\"content\":\"}\\\"{\"}],\n"
        "\"stream\":false,\"keep_alive\": \"5m\",\"options\":{\"seed\":1,\"num_ctx\": 8192 },"
        "\"tools\":[{}],\"shift\":false}\r\n \t";
    const auto f = read(body, endpoint::chat);
    CHECK(f.model == "Llama3:8b");
    CHECK(at(body, f.model_value) == "\"Llama3:8b\"");
    CHECK(f.stream == false);
    CHECK(f.keep == keep_alive::other);
    CHECK(at(body, f.keep_alive_value) == "\"5m\"");
    CHECK(at(body, f.options) == R"({"seed":1,"num_ctx": 8192 })");
    CHECK(at(body, f.num_ctx) == "8192");
    CHECK(at(body, f.shift) == "false");
    CHECK_FALSE(f.empty_prompt);
    CHECK(f.tools);
    CHECK(f.inputs == 1);
    CHECK(f.size == body.size() - 4);
    CHECK(body[f.size - 1] == '}');
}

TEST_CASE("what is absent or null is not there")
{
    for (
        const char* body :
        {"{}",
         R"({"model":null,"stream":null,"keep_alive":null,"options":null,"tools":null,"messages":null})",
         R"({"model":5,"stream":"true","options":[],"tools":{}})"}) {
        const auto f = read(body, endpoint::chat);
        CHECK(f.model.empty());
        CHECK(f.model_value.empty());
        CHECK_FALSE(f.stream.has_value());
        CHECK(f.keep == keep_alive::absent);
        CHECK(f.options.empty());
        CHECK(f.num_ctx.empty());
        CHECK_FALSE(f.tools);
        CHECK(f.empty_prompt);
        CHECK(f.inputs == 1);
    }
    CHECK_FALSE(read(R"({"tools":[ ]})", endpoint::chat).tools);
    CHECK_FALSE(read(R"({"model":"m"})", endpoint::chat_completions).empty_prompt);
}

TEST_CASE("escapes in keys and model names are resolved before they are compared")
{
    CHECK(
        read(R"({"\u006dodel":"a\u002fb\/c\n\u00e9\ud83d\ude00\ud800x"})", endpoint::chat).model ==
        "a/b/c\n\xC3\xA9\xF0\x9F\x98\x80\xEF\xBF\xBDx");
    CHECK(read(R"({"mode\u006c":"m","str\u0065am":false})", endpoint::chat).stream == false);
    CHECK(contains(refusal(R"({"model":"a","\u006dodel":"b"})"), "twice"));
}

TEST_CASE("the six bodies that Go reads otherwise are refused")
{
    // Ollama matches keys without regard to case, U+017F is an s and U+212A a k, and the last one
    // wins.
    CHECK(contains(refusal(R"({"model":"allowed","Model":"forbidden"})"), "ambiguous"));
    CHECK(contains(refusal(R"({"model":"allowed","model":"forbidden"})"), "ambiguous"));
    CHECK(contains(refusal(R"({"MODEL":"forbidden"})"), "ambiguous"));
    CHECK(contains(refusal("{\"model\":\"m\",\"\xC5\xBFtream\":false}"), "ambiguous"));
    CHECK(contains(refusal(R"({"model":"m","\u212aeep_alive":-1})"), "ambiguous"));
    CHECK(contains(refusal(R"({"model":"m","options":{"num_ctx":1,"NUM_CTX":2}})"), "ambiguous"));
}

TEST_CASE("a key of interest that stands twice or in another case is refused, whatever its escapes")
{
    for (const char* body :
         {R"({"\u004dodel":"m"})", R"({"stream":true,"\u017ftream":false})", R"({"STREAM":true})",
          "{\"\xE2\x84\xAA"
          "eep_alive\":0}",
          R"({"keep_alive":1,"Keep_Alive":0})", R"({"Options":{}})",
          R"({"options":{},"options":{}})", R"({"options":null,"options":{}})",
          R"({"mes\u017fages":[]})", R"({"Messages":[{}],"messages":[]})", R"({"toolS":[]})",
          R"({"\u0054ools":[]})", R"({"options":{"num_ctx":1,"num_ctx":2}})",
          R"({"options":{"Num_Ctx":1}})", R"({"options":{"num_ctx":1,"\u006eum_ctx":2}})",
          R"({"options":{"\u017feed":1}})", R"({"options":{"foo":1,"FOO":2}})",
          R"({"options":{"a":1,"a":2}})", R"({"SHIFT":true})"}) {
        INFO(body);
        CHECK(contains(refusal(body), "ambiguous"));
    }
    CHECK(contains(refusal(R"({"Prompt":"x"})", endpoint::generate), "ambiguous"));
    CHECK(contains(refusal(R"({"input":"x","Input":"y"})", endpoint::embed), "ambiguous"));
    CHECK(contains(refusal(R"({"model":"x","Model":"y"})", endpoint::responses), "ambiguous"));
    CHECK(contains(refusal(R"({"name":"x","Name":"y"})", endpoint::other), "ambiguous"));
}

TEST_CASE("keys that nobody decides by may stand as they like")
{
    for (const char* body :
         {R"({"Foo":1,"foo":2,"foo":3})", R"({"messages":[{"Model":"x","model":1,"model":2}]})",
          R"({"options":{"Foo":1}})", R"({"models":1,"mode":2,"odel":3,"":4,"":5})",
          R"({"format":{"model":1,"Model":2}})", "{\"mod\xC3\xA9l\":1,\"m\xFFodel\":2}",
          R"({"\ud800model":1,"model\u0000":2})", R"({"Input":1,"INPUT":2})"}) {
        INFO(body);
        CHECK(refusal(body).empty());
    }
    CHECK(refusal(R"({"Messages":[],"Keep_Alive":0,"OPTIONS":{}})", endpoint::chat_completions)
              .empty());
    CHECK(read("{\"" + std::string(1000000, 'M') + "\":1,\"model\":\"m\"}", endpoint::chat).model ==
          "m");
}

TEST_CASE("a key is one that matters only when each of its bytes is the key's")
{
    // A key that matters may stand but once, and which matter is known by that.
    const auto matters = [](const std::string& key, endpoint where) {
        return contains(refusal("{\"" + key + "\":null,\"" + key + "\":null}", where), "twice");
    };
    for (const char* each : {"model", "name", "prompt", "messages", "input", "stream", "keep_alive",
                             "options", "tools", "shift"}) {
        const std::string key = each;
        INFO(key);
        int found = 0;
        for (auto where : {endpoint::generate, endpoint::chat, endpoint::embed, endpoint::other}) {
            found += matters(key, where) ? 1 : 0;
            for (std::size_t at = 0; at < key.size(); ++at) {
                auto odd = key;
                odd[at] = odd[at] == 'z' ? 'y' : 'z';
                REQUIRE(!matters(odd, where));
                REQUIRE(!matters(key.substr(0, at), where));
            }
            REQUIRE(!matters(key + key.back(), where));
        }
        CHECK(found > 0);
    }
}

TEST_CASE("only white space may follow the value, and it is not sent")
{
    CHECK(read("{} \r\n\t ", endpoint::chat).size == 2);
    CHECK(read("\n{}", endpoint::chat).size == 3);
    for (const char* tail : {"x", "{}", "\v", ",", "]", "//", "\xC2\xA0"}) {
        INFO(tail);
        CHECK(contains(refusal(std::string("{\"a\":1} ") + tail), "at byte 8"));
    }
    CHECK(contains(refusal(std::string("{}\0", 3)), "at byte 2"));
}

TEST_CASE("an empty body and a value that is no object are left to Ollama")
{
    for (const char* body :
         {"", " \n", "null", "[]", "5", "\"model\"", "true", "[{\"model\":\"m\"}]"}) {
        INFO(body);
        const auto f = read(body, endpoint::chat);
        CHECK(f.model.empty());
        CHECK(f.size == (std::string(body) == " \n" ? 0 : std::string(body).size()));
    }
    CHECK(contains(refusal(R"(null {"model":"m"})"), "follows"));
}

TEST_CASE("what is no JSON is refused, with the place of the mistake")
{
    struct row {
        std::string body;
        std::size_t place;
    };
    using namespace std::string_literals;
    for (const row& r : {row{"{", 1},
                         row{"{\"a\"", 4},
                         row{"{\"a\":", 5},
                         row{"{\"a\":1", 6},
                         row{"{\"a\":1,}", 7},
                         row{"{,}", 1},
                         row{"{a:1}", 1},
                         row{"{\"a\" 1}", 5},
                         row{"{\"a\":1 \"b\":2}", 7},
                         row{"[1,]", 3},
                         row{"[1 2]", 3},
                         row{"[,]", 1},
                         row{"]", 0},
                         row{"}", 0},
                         row{"[}", 1},
                         row{"{\"a\":[}", 6},
                         row{"[{]", 2},
                         row{"{\"a\":[1}", 7},
                         row{"nul", 0},
                         row{"nulL", 0},
                         row{"True", 0},
                         row{"'a'", 0},
                         row{"\"a", 2},
                         row{"\"\\", 2},
                         row{"\"\\x\"", 2},
                         row{"\"\\u12g4\"", 2},
                         row{"\"\\u12", 2},
                         row{"\"a\nb\"", 2},
                         row{"\"\x1f\"", 1},
                         row{"\"\0\""s, 1},
                         row{"-", 1},
                         row{"01", 1},
                         row{"+1", 0},
                         row{".5", 0},
                         row{"1.", 2},
                         row{"1.e5", 2},
                         row{"1e", 2},
                         row{"1e+", 3},
                         row{"-a", 1},
                         row{"0x1", 1},
                         row{"NaN", 0},
                         row{"Infinity", 0},
                         row{"\xEF\xBB\xBF{}", 0},
                         row{"{\"a\":tru}", 5},
                         row{"{\"options\":{\"a\":}}", 16},
                         row{"{\"messages\":[{]}", 14},
                         row{"{\"model\":\"m}", 12},
                         row{"{\"a\":1e400x}", 10},
                         row{"/**/{}", 0},
                         row{"{\"a\":1}}", 7}}) {
        INFO(r.body);
        const auto why = refusal(r.body);
        CHECK(contains(why, "at byte " + std::to_string(r.place)));
    }
}

TEST_CASE("numbers too large for Go and bytes that are no UTF-8 are no business of ours")
{
    CHECK(refusal(R"({"a":1e400,"b":-0,"c":-0.0E-5,"d":123456789012345678901234567890})").empty());
    CHECK(refusal("{\"a\":\"\xFF\xC3\",\"b\":\"\\ud800\"}").empty());
}

TEST_CASE("nesting is bounded at 64, and the bound costs nothing")
{
    CHECK(refusal(nested(64)).empty());
    CHECK(contains(refusal(nested(65)), "too deep"));
    CHECK(refusal("{\"a\":" + nested(63) + "}").empty());
    CHECK(contains(refusal("{\"a\":" + nested(64) + "}"), "too deep"));
    CHECK(refusal("{\"options\":{\"a\":" + nested(62) + "}}").empty());
    CHECK(contains(refusal("{\"options\":{\"a\":" + nested(63) + "}}"), "too deep"));
    CHECK(contains(refusal(std::string(5000000, '[')), "too deep"));
    std::string objects;
    for (int i = 0; i < 100000; ++i) {
        objects += "{\"a\":";
    }
    CHECK(contains(refusal(objects), "too deep"));
    CHECK(refusal("[" + nested(63) + "," + nested(63) + ",{\"a\":{}}]").empty());
}

TEST_CASE("a body made to cost time or memory is refused or read in passing")
{
    std::string options = "{\"options\":{\"k\":0";
    for (int i = 0; i < 254; ++i) {
        options += ",\"k" + std::to_string(i) + "\":0";
    }
    CHECK(refusal(options + ",\"x\":0}}").empty());
    CHECK(contains(refusal(options + ",\"x\":0,\"y\":0}}"), "too many"));
    CHECK(contains(refusal("{\"model\":\"" + std::string(2000, 'm') + "\"}"), "too long"));
    CHECK(contains(refusal("{\"keep_alive\":\"" + std::string(2000, '0') + "s\"}"), "too long"));
    CHECK(refusal("{\"model\":\"" + std::string(594, 'm') + "\"}").empty());
}

TEST_CASE("the inputs of an embedding call are counted as Ollama runs them")
{
    const auto inputs = [](const std::string& input, endpoint e) {
        return read("{\"model\":\"m\",\"input\":" + input + "}", e).inputs;
    };
    for (const auto e : {endpoint::embed, endpoint::v1_embeddings}) {
        CHECK(inputs("\"a\"", e) == 1);
        CHECK(inputs("[]", e) == 1);
        CHECK(inputs("[ \"a\" ]", e) == 1);
        CHECK(inputs("[\"a\",\"]\",\"c,d\"]", e) == 3);
        CHECK(inputs("[[1,2],[3]]", e) == 2);
        CHECK(inputs("[1,2,3,4]", e) == 1);
        CHECK(inputs("null", e) == 1);
    }
    CHECK(read(R"({"prompt":"x","input":["a","b"]})", endpoint::embeddings).inputs == 1);
    CHECK(contains(refusal("{\"input\":[\"a\",]}", endpoint::embed), "at byte 14"));
}

TEST_CASE("show and its kin may say name for model")
{
    CHECK(read(R"({"name":"a"})", endpoint::other).model == "a");
    const std::string both = R"({"name":"a","model":"b"})";
    CHECK(read(both, endpoint::other).model == "b");
    CHECK(at(both, read(both, endpoint::other).model_value) == "\"b\"");
    CHECK(read(R"({"name":"a","model":""})", endpoint::other).model == "a");
    CHECK(read(R"({"name":"a"})", endpoint::chat).model.empty());
}

namespace {

// A body that nlohmann reads as the scanner must: random values under keys that are spelled well
// and once.
class body_maker {
public:
    explicit body_maker(unsigned seed) : random_(seed) {}

    std::string object(unsigned depth)
    {
        std::string s = "{" + space();
        const unsigned n = random_() % 5;
        for (unsigned i = 0; i < n; ++i) {
            s += (i == 0 ? "" : ",") + space() + "\"k" + std::to_string(i) + "\"" + space() + ":" +
                 space() + value(depth) + space();
        }
        return s + "}";
    }

    std::string value(unsigned depth)
    {
        static const char* const plain[] = {"null",        "true", "false", "0",
                                            "-1.5e3",      "12",   "\"\"",  "\"a\\\"]}\\\\\"",
                                            "\"\\u00e9\"", "[]",   "{}"};
        const unsigned kind = random_() % 14;
        if (kind < 11 || depth == 0) {
            return plain[kind % 11];
        }
        if (kind == 11) {
            return object(depth - 1);
        }
        std::string s = "[";
        const unsigned n = random_() % 4;
        for (unsigned i = 0; i < n; ++i) {
            s += (i == 0 ? "" : ",") + space() + value(depth - 1);
        }
        return s + space() + "]";
    }

    std::string top()
    {
        std::string s = "{";
        for (const char* key :
             {"model", "messages", "stream", "keep_alive", "options", "tools", "x"}) {
            if (random_() % 2 != 0) {
                s += (s.size() > 1 ? "," : "") + space() + "\"" + key + "\":" + space() + value(3);
            }
        }
        return s + "}";
    }

    std::string space() { return std::string(random_() % 3 == 0 ? 1 + random_() % 20 : 0, ' '); }
    unsigned number() { return static_cast<unsigned>(random_()); }

private:
    std::mt19937 random_;
};

}  // namespace

TEST_CASE("the scanner and a whole parser agree on random bodies, sound and broken")
{
    body_maker make(7);
    int sound = 0;
    int broken = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string body = make.top();
        for (unsigned n = make.number() % 3; n > 0; --n) {
            const auto place = make.number() % body.size();
            static const std::string spice = "{}[],:\"\\0 1e-tn\x01";
            if (make.number() % 2 == 0) {
                body[place] = spice[make.number() % spice.size()];
            } else {
                body.erase(place, 1 + make.number() % 2);
            }
            if (body.empty()) {
                body = "{}";
            }
        }
        const auto tree = nlohmann::json::parse(body, nullptr, false);
        const auto r = scan_json(body, endpoint::chat);
        INFO(body);
        if (tree.is_discarded()) {
            ++broken;
            // An empty body is the only one that is let through unread.
            REQUIRE((r.has_error() || body.find_first_not_of(' ') == std::string::npos));
            continue;
        }
        if (r.has_error()) {
            REQUIRE(contains(r.error().message, "ambiguous"));
            continue;
        }
        ++sound;
        if (!tree.is_object()) {
            REQUIRE(r->model.empty());
            continue;
        }
        const auto value = [&](const char* key) { return tree.value(key, nlohmann::json()); };
        REQUIRE(r->model == (value("model").is_string() ? value("model").get<std::string>() : ""));
        REQUIRE(r->stream.has_value() == value("stream").is_boolean());
        if (r->stream) {
            REQUIRE(*r->stream == value("stream").get<bool>());
        }
        REQUIRE((r->keep == keep_alive::absent) == value("keep_alive").is_null());
        REQUIRE(r->tools == (value("tools").is_array() && !value("tools").empty()));
        REQUIRE(r->options.empty() == !value("options").is_object());
        if (!r->options.empty()) {
            REQUIRE(nlohmann::json::parse(at(body, r->options)) == value("options"));
        }
        const auto messages = value("messages");
        REQUIRE(r->empty_prompt == (messages.is_null() || messages == "" ||
                                    (messages.is_array() && messages.empty())));
    }
    CHECK(sound > 5000);
    CHECK(broken > 3000);
}
