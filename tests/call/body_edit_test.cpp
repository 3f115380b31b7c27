// Splices into a client's body: exactly what is named changes, byte for byte.
#include "call/body_edit.hpp"

#include "call/load_options.hpp"
#include "catch.hpp"
#include "downstream/classify.hpp"

#include <nlohmann/json.hpp>

#include <random>
#include <vector>

using namespace gateway;
using nlohmann::json;

namespace {

std::string edit(const std::string& body, const body_edits& edits)
{
    const auto facts = scan_json(body, endpoint::chat);
    INFO(body);
    REQUIRE(facts.has_value());
    return edited(body, *facts, edits);
}

const body_edits strip{.strip_load_options = true};
body_edits context(std::uint64_t n)
{
    return {.num_ctx = n};
}
body_edits keep(std::string value)
{
    return {.keep_alive = std::move(value)};
}
body_edits model(std::string name)
{
    return {.model = std::move(name)};
}

struct row {
    std::string before;
    std::string after;
};

void check(const body_edits& edits, const std::vector<row>& rows)
{
    for (const auto& row : rows) {
        INFO(row.before);
        CHECK(edit(row.before, edits) == row.after);
        // Once done, there is nothing left to do.
        CHECK(edit(row.after, edits) == row.after);
    }
}

}  // namespace

TEST_CASE("without an edit the body is the client's own, byte for byte")
{
    const std::string body = " {\"model\" : \"m\",\t\"options\":{ \"num_ctx\":1 }}\r\n";
    CHECK(body_edits{}.none());
    CHECK(edit(body, {}) == body);
}

TEST_CASE("a fallback's name takes the model's place")
{
    check(model("other:7b"), {
                                 {R"({"model":"m"})", R"({"model":"other:7b"})"},
                                 {R"({ "model" : "a\"\u0062/c" , "x":{"model":"m"}})",
                                  R"({ "model" : "other:7b" , "x":{"model":"m"}})"},
                                 {R"({"x":"\"model\":\"m\"","model":"m"})",
                                  R"({"x":"\"model\":\"m\"","model":"other:7b"})"},
                                 {R"({"\u006dodel":"m"})", R"({"\u006dodel":"other:7b"})"},
                                 {R"({"messages":[]})", R"({"messages":[]})"},
                                 {R"({"model":null})", R"({"model":null})"},
                                 {"[]", "[]"},
                                 {"", ""},
                             });
    CHECK(edit(R"({"model":"m"})", model("a\"b\\\n\xff")) ==
          "{\"model\":\"a\\\"b\\\\\\n\xEF\xBF\xBD\"}");
}

TEST_CASE("keep_alive is replaced, or added as the first member")
{
    check(keep("\"5m\""),
          {
              {R"({"model":"m","keep_alive":0})", R"({"model":"m","keep_alive":"5m"})"},
              {R"({"keep_alive" : "1h" ,"model":"m"})", R"({"keep_alive" : "5m" ,"model":"m"})"},
              {R"({"keep_alive":null})", R"({"keep_alive":"5m"})"},
              {R"({"keep_alive":{"a":[1]}})", R"({"keep_alive":"5m"})"},
              {R"({"model":"m"})", R"({"keep_alive":"5m","model":"m"})"},
              {"\n{ \"model\":\"m\"}", "\n{\"keep_alive\":\"5m\", \"model\":\"m\"}"},
              {"{}", R"({"keep_alive":"5m"})"},
              {"{ \t}", "{\"keep_alive\":\"5m\" \t}"},
              {R"({"x":{"keep_alive":1}})", R"({"keep_alive":"5m","x":{"keep_alive":1}})"},
              {R"("keep_alive")", R"("keep_alive")"},
          });
}

TEST_CASE("load-time options are taken out, wherever they stand, with their commas")
{
    check(
        strip,
        {
            {R"({"options":{"num_ctx":1}})", R"({"options":{}})"},
            {R"({"options":{ "num_ctx" : 1 }})", R"({"options":{  }})"},
            {R"({"options":{"num_ctx":1,"seed":2}})", R"({"options":{"seed":2}})"},
            {R"({"options":{"seed":2,"num_ctx":1}})", R"({"options":{"seed":2}})"},
            {R"({"options":{"a":1,"num_ctx":1,"b":2}})", R"({"options":{"a":1,"b":2}})"},
            {R"({"options":{"num_ctx":1,"num_gpu":2,"a":1,"num_thread":3,"num_batch":4,"b":2,"use_mmap":true}})",
             R"({"options":{"a":1,"b":2}})"},
            {R"({"options":{"main_gpu":1,"draft_num_predict":2}})", R"({"options":{}})"},
            {"{\"options\":{\n\t\"num_ctx\" :\r\n1 ,\n\t\"seed\": 2\n}}",
             "{\"options\":{\n\t\"seed\": 2\n}}"},
            {"{\"options\":{\n\t\"seed\": 2 ,\n\t\"num_ctx\": 1\n}}",
             "{\"options\":{\n\t\"seed\": 2\n}}"},
            {R"({"options":{"num_ctx":"},{","seed":2}})", R"({"options":{"seed":2}})"},
            {R"({"options":{"num_ctx":{"a":[{}]},"seed":2}})", R"({"options":{"seed":2}})"},
            {R"({"options":{"\u006eum_ctx":1,"seed":2}})", R"({"options":{"seed":2}})"},
            {R"({"options":{"x":{"num_ctx":1}},"num_ctx":5})",
             R"({"options":{"x":{"num_ctx":1}},"num_ctx":5})"},
            {R"({"messages":[{"options":{"num_ctx":1}}]})",
             R"({"messages":[{"options":{"num_ctx":1}}]})"},
            {R"({"options":{}})", R"({"options":{}})"},
            {R"({"options":null})", R"({"options":null})"},
            {R"({"options":[{"num_ctx":1}]})", R"({"options":[{"num_ctx":1}]})"},
            {R"({"shift":false})", "{}"},
            {R"({"shift":false,"model":"m"})", R"({"model":"m"})"},
            {R"({"model":"m" , "shift":null })", R"({"model":"m" })"},
            {R"({"a":1,"shift":true,"b":2})", R"({"a":1,"b":2})"},
            {R"({"options":{"shift":1},"x":{"shift":false}})",
             R"({"options":{"shift":1},"x":{"shift":false}})"},
        });
}

TEST_CASE("num_ctx is replaced, or added to options that are there or are not")
{
    check(context(8192),
          {
              {R"({"options":{"num_ctx":4096}})", R"({"options":{"num_ctx":8192}})"},
              {R"({"options":{"seed":1,"num_ctx" : 4096 }})",
               R"({"options":{"seed":1,"num_ctx" : 8192 }})"},
              {R"({"options":{"num_ctx":null}})", R"({"options":{"num_ctx":8192}})"},
              {R"({"options":{"seed":1}})", R"({"options":{"num_ctx":8192,"seed":1}})"},
              {R"({"options":{ }})", R"({"options":{"num_ctx":8192 }})"},
              {R"({"model":"m"})", R"({"options":{"num_ctx":8192},"model":"m"})"},
              {R"({"model":"m","options":null})", R"({"model":"m","options":{"num_ctx":8192}})"},
              {R"({"options":[],"model":"m"})", R"({"options":[],"model":"m"})"},
              {"{}", R"({"options":{"num_ctx":8192}})"},
              {R"({"num_ctx":1,"options":{"x":{"num_ctx":2}}})",
               R"({"num_ctx":1,"options":{"num_ctx":8192,"x":{"num_ctx":2}}})"},
          });
    check(context(0),
          {
              {R"({"options":{"num_ctx":4096}})", R"({"options":{}})"},
              {R"({"options":{"num_ctx":4096,"num_gpu":1}})", R"({"options":{"num_gpu":1}})"},
              {R"({"options":{"seed":1}})", R"({"options":{"seed":1}})"},
              {R"({"model":"m"})", R"({"model":"m"})"},
              {R"({"options":null})", R"({"options":null})"},
          });
}

TEST_CASE("several edits of one body do not disturb each other")
{
    const body_edits all{
        .model = "n", .keep_alive = "-1", .strip_load_options = true, .num_ctx = 8192};
    check(all, {
                   {R"({"shift":false,"options":{"num_gpu":1,"num_ctx":2},"model":"m"})",
                    R"({"keep_alive":-1,"options":{"num_ctx":8192},"model":"n"})"},
                   {R"({"model":"m","options":{"num_gpu":1},"shift":false})",
                    R"({"keep_alive":-1,"model":"n","options":{"num_ctx":8192}})"},
                   {R"({"model":"m","options":{"num_gpu":1,"seed":3},"keep_alive":"1m"})",
                    R"({"model":"n","options":{"num_ctx":8192,"seed":3},"keep_alive":-1})"},
                   {R"({"shift":false})", R"({"keep_alive":-1,"options":{"num_ctx":8192}})"},
                   {R"({"shift":false,"options":null})",
                    R"({"keep_alive":-1,"options":{"num_ctx":8192}})"},
               });
    check({.strip_load_options = true, .num_ctx = 0},
          {{R"({"options":{"num_ctx":1,"num_gpu":2,"seed":3}})", R"({"options":{"seed":3}})"}});
}

namespace {

class random_bodies {
public:
    std::string body()
    {
        std::vector<std::string> members;
        for (const char* key : {"model", "messages", "keep_alive", "shift", "tools"}) {
            if (pick(2) == 0) {
                members.push_back(quoted(key) + space() + ":" + space() + value(key, 3));
            }
        }
        for (auto n = pick(3); n > 0; --n) {
            members.push_back(quoted("x" + std::to_string(n)) + ":" + object(2));
        }
        if (pick(4) != 0) {
            members.push_back(quoted("options") + space() + ":" + space() +
                              (pick(6) == 0 ? "null" : options()));
        }
        return space() + joined(members);
    }
    body_edits edits()
    {
        body_edits e;
        if (pick(3) == 0) {
            e.model = "fall\"back";
        }
        if (pick(3) == 0) {
            e.keep_alive = pick(2) == 0 ? "\"5m\"" : "-1";
        }
        e.strip_load_options = pick(2) == 0;
        if (pick(2) == 0) {
            e.num_ctx = pick(2) * 8192;
        }
        return e;
    }

private:
    std::size_t pick(std::size_t n)
    {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_);
    }
    std::string space()
    {
        const char* const some[] = {"", "", "", " ", "\n", "\t \r\n"};
        return some[pick(6)];
    }
    std::string quoted(const std::string& key)
    {
        if (pick(8) != 0) {
            return "\"" + key + "\"";
        }
        static constexpr char hex[] = "0123456789abcdef";
        const auto c = static_cast<unsigned char>(key[0]);
        return std::string("\"\\u00") + hex[c >> 4] + hex[c & 15] + key.substr(1) + "\"";
    }
    std::string joined(std::vector<std::string> members)
    {
        std::shuffle(members.begin(), members.end(), random_);
        std::string text = "{" + space();
        for (std::size_t i = 0; i < members.size(); ++i) {
            text += (i == 0 ? "" : "," + space()) + members[i] + space();
        }
        return text + "}";
    }
    std::string options()
    {
        std::vector<std::string> members;
        for (const char* key : {"num_ctx", "num_gpu", "num_batch", "main_gpu", "use_mmap",
                                "num_thread", "draft_num_predict", "seed", "stop", "top_k"}) {
            if (pick(3) == 0) {
                members.push_back(quoted(key) + space() + ":" + space() + value(key, 2));
            }
        }
        return joined(members);
    }
    std::string object(unsigned depth)
    {
        return R"({"options":{"num_ctx":1,"num_gpu":)" + value("", depth) + R"(},"shift":true})";
    }
    std::string value(const std::string& key, unsigned depth)
    {
        if (key == "model") {
            return pick(5) == 0 ? "null" : R"("m\"\\,}")";
        }
        const char* const plain[] = {"1",    "-2.5e3",  "true",      "null",
                                     "\"\"", "\"},{\"", "\"a\\\\\"", "\"\\\"num_ctx\\\":1\""};
        if (depth == 0 || pick(3) != 0) {
            return plain[pick(8)];
        }
        return pick(2) == 0 ? object(depth - 1) : "[" + value("", depth - 1) + " , {}]";
    }

    std::mt19937 random_{11};
};

// What the edits mean, done to a tree.
json expected(json tree, const body_edits& e)
{
    if (e.model && tree.contains("model") && tree["model"].is_string()) {
        tree["model"] = *e.model;
    }
    if (e.keep_alive) {
        tree["keep_alive"] = json::parse(*e.keep_alive);
    }
    const bool has_options = tree.contains("options") && tree["options"].is_object();
    if (e.strip_load_options) {
        tree.erase("shift");
    }
    if (has_options && e.strip_load_options) {
        for (const char* key : {"num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread",
                                "draft_num_predict", "num_ctx"}) {
            tree["options"].erase(key);
        }
    }
    if (e.num_ctx && *e.num_ctx != 0) {
        tree["options"]["num_ctx"] = *e.num_ctx;
    } else if (e.num_ctx && has_options) {
        tree["options"].erase("num_ctx");
    }
    return tree;
}

}  // namespace

TEST_CASE("random bodies and edits: exactly the named members differ")
{
    random_bodies some;
    for (int round = 0; round < 20'000; ++round) {
        const auto before = some.body();
        const auto edits = some.edits();
        INFO(before);
        const auto after = edit(before, edits);
        INFO(after);
        REQUIRE(json::accept(after));
        REQUIRE(json::parse(after) == expected(json::parse(before), edits));
        REQUIRE(edit(after, edits) == after);
        if (edits.strip_load_options && edits.num_ctx.value_or(0) == 0) {
            const auto facts = scan_json(after, endpoint::chat);
            REQUIRE(facts.has_value());
            REQUIRE(load_options::of(after, *facts, {}).empty());
        }
    }
}
