// Which load-time options a call asks for, as Ollama would read them.
#include "call/load_options.hpp"

#include "catch.hpp"
#include "downstream/classify.hpp"

#include <nlohmann/json.hpp>

#include <random>
#include <vector>

using namespace gateway;

namespace {

load_options of(const std::string& body, std::string_view parameters = {}, bool shifts = true,
                endpoint where = endpoint::chat)
{
    const auto facts = scan_json(body, where);
    INFO(body);
    REQUIRE(facts.has_value());
    return load_options::of(body, *facts, parameters, shifts);
}

std::string options(const std::string& members, std::string_view parameters = {})
{
    return of(R"({"model":"m","options":{)" + members + "}}", parameters).text();
}

}  // namespace

TEST_CASE("a call that sets no load-time option has none")
{
    for (const char* body :
         {"{}", R"({"model":"m"})", R"({"model":"m","options":null})", R"({"options":{}})",
          R"({"options":{"seed":1,"stop":["num_ctx"],"num_predict":5}})", R"({"shift":true})",
          R"({"shift":null})", R"({"options":[]})",
          R"({"num_ctx":1,"x":{"options":{"num_ctx":2}}})",
          R"({"options":{"num_ctx":null,"num_gpu":null,"main_gpu":null,"use_mmap":null}})",
          R"({"options":{"num_gpu":-1,"num_thread":0}})", R"({"options":{"num_gpu":-7.5}})",
          R"({"options":{"shift":false}})"}) {
        INFO(body);
        CHECK(of(body).empty());
        CHECK(of(body).as_json_members().empty());
        CHECK_FALSE(of(body).num_ctx());
        CHECK(of(body) == load_options());
    }
    CHECK(
        of(R"({"options":{"num_ctx":8192},"shift":false})", {}, true, endpoint::responses).empty());
}

TEST_CASE("load-time options are told in one order, whatever the body's")
{
    const auto o = of(
        R"({"shift":false,"options":{"draft_num_predict":2,"num_thread":8,"use_mmap":false,
        "main_gpu":1,"num_gpu":20,"seed":1,"num_batch":256, "num_ctx" : 8192 }})");
    CHECK(o.text() ==
          "num_ctx=8192,num_batch=256,num_gpu=20,main_gpu=1,use_mmap=false,num_thread=8,"
          "draft_num_predict=2,shift=false");
    CHECK(o.num_ctx() == 8192);
    CHECK(o.without_num_ctx() ==
          "num_batch=256,num_gpu=20,main_gpu=1,use_mmap=false,num_thread=8,draft_num_predict=2,"
          "shift=false");
    CHECK(o.as_json_members() ==
          R"("options":{"num_ctx":8192,"num_batch":256,"num_gpu":20,"main_gpu":1,"use_mmap":false,)"
          R"("num_thread":8,"draft_num_predict":2},"shift":false)");
    CHECK(of(R"({"shift":false})").as_json_members() == R"("shift":false)");
    CHECK(of(R"({"options":{"num_ctx":5}})").as_json_members() == R"("options":{"num_ctx":5})");
    CHECK(options(R"("\u006eum_ctx":8192)") == "num_ctx=8192");
    CHECK(of(R"({"options":{"num_ctx":9}})", {}, true, endpoint::embed).text() == "num_ctx=9");
    CHECK(of(R"({"options":{"num_ctx":9},"shift":false})", {}, true, endpoint::embed).text() ==
          "num_ctx=9");
}

TEST_CASE("numbers are what Ollama makes of them")
{
    struct row {
        std::string json;
        std::string value;
    };
    const std::vector<row> rows = {
        {"8192", "8192"},
        {"8192.0", "8192"},
        {"8192.99", "8192"},
        {"8.192e3", "8192"},
        {"8192E0", "8192"},
        {"81920e-1", "8192"},
        {"1e3", "1000"},
        {"1E+3", "1000"},
        {"9007199254740993", "9007199254740992"},
        // At least 4, whatever was asked for.
        {"0", "4"},
        {"-0", "4"},
        {"3.9", "4"},
        {"-5000", "4"},
        // Refused by Ollama, and so here: it says why itself.
        {"\"8192\"", "[]"},
        {"true", "[]"},
        {"[8192]", "[]"},
        {"{}", "[]"},
        {"1e19", "[]"},
        {"-1e19", "[]"},
        {"9223372036854775808", "[]"},
        {"1e999", "[]"},
    };
    for (const auto& row : rows) {
        INFO(row.json);
        CHECK(options("\"num_ctx\":" + row.json) == "num_ctx=" + row.value);
    }
    CHECK(options(R"("num_thread":-2)") == "num_thread=-2");
    CHECK(options(R"("num_thread":0.5)").empty());
    CHECK(options(R"("use_mmap":1)") == "use_mmap=[]");
    CHECK(options(R"("use_mmap":true)") == "use_mmap=true");
    CHECK(of(R"({"shift":"no"})").text() == "shift=[]");
    CHECK(of(R"({"shift":"no"})").as_json_members() == R"("shift":[])");
    CHECK(options("\"num_gpu\":\"" + std::string(100'000, 'x') + "\"") == "num_gpu=[]");
    CHECK_FALSE(of(R"({"options":{"num_ctx":"x"}})").num_ctx());
}

TEST_CASE("what a model comes with is no wish, and leaving it is one")
{
    // As /api/show prints them (Go's %-30s %#v).
    const std::string parameters =
        "stop                           \"<|im_start|>\"\n"
        "num_ctx                        8192\n"
        "num_gpu                        20\n"
        "num_batch                      1.048576e+06\n"
        "main_gpu                       0\r\n"
        "use_mmap                       true\n"
        "temperature                    0.7\n"
        "shift                          false\n"
        "num_thread";
    CHECK(options("", parameters).empty());
    CHECK(options(R"("num_ctx":8192,"num_gpu":20,"num_batch":1048576,"main_gpu":0,"use_mmap":true)",
                  parameters)
              .empty());
    CHECK(options(R"("num_ctx":null,"num_gpu":null,"num_batch":null)", parameters).empty());
    // Ollama's own default is another thing here.
    CHECK(options(R"("num_gpu":-1,"use_mmap":false,"main_gpu":1)", parameters) ==
          "num_gpu=-1,main_gpu=1,use_mmap=false");
    CHECK(options(R"("num_ctx":4096)", parameters) == "num_ctx=4096");
    CHECK(options(R"("num_thread":0)", "num_thread 4") == "num_thread=0");
    CHECK(of(R"({"shift":false})", parameters).text() == "shift=false");

    for (const char* useless :
         {"", "\n\n", "num_ctx", "num_ctx x", "num_ctx \"8192\"", " \t", "="}) {
        CHECK(options(R"("num_ctx":8192)", useless) == "num_ctx=8192");
    }
}

TEST_CASE("an explicit value is not the automatic one, even where null says it")
{
    CHECK(options(R"("main_gpu":0)") == "main_gpu=0");
    CHECK(options(R"("num_batch":512)") == "num_batch=512");
    CHECK(options(R"("num_batch":null)") == "num_batch=512");
    CHECK(options(R"("draft_num_predict":null)") == "draft_num_predict=4");
    CHECK(options(R"("draft_num_predict":0)") == "draft_num_predict=0");
}

TEST_CASE("a family that cannot shift its context does not by itself")
{
    CHECK(of(R"({"shift":false})", {}, false).empty());
    CHECK(of(R"({"shift":true})", {}, false).text() == "shift=true");
    CHECK(of(R"({})", {}, false).empty());
}

TEST_CASE("what was told is read back, and nothing else")
{
    for (const char* text : {"", "num_ctx=8192", "num_ctx=[],use_mmap=true,shift=false",
                             "num_gpu=-1,main_gpu=0", "shift=[]"}) {
        CHECK(load_options::read(text).text() == text);
    }
    CHECK(load_options::read("shift=false,num_ctx=5").text() == "num_ctx=5,shift=false");
    CHECK(load_options::read(",,x=1,num_ctx,=5,seed=1").text().empty());
    CHECK(load_options::read("num_ctx=abc,num_gpu=").text() == "num_ctx=[],num_gpu=[]");
}

TEST_CASE("a runner with a larger context serves a smaller wish, all else equal")
{
    struct row {
        std::string runner;
        std::string wish;
        std::uint64_t context;
        bool serves;
    };
    const std::vector<row> rows = {
        {"num_ctx=8192", "num_ctx=4096", 0, true},
        {"num_ctx=8192", "num_ctx=8192", 0, true},
        {"num_ctx=8192", "num_ctx=8193", 0, false},
        {"num_ctx=8192", "num_ctx=8193", 100'000, false},
        {"num_ctx=8192", "", 8192, false},
        {"", "", 0, true},
        {"", "num_ctx=4096", 4096, true},
        {"", "num_ctx=2048", 4096, true},
        {"", "num_ctx=4097", 4096, false},
        {"", "num_ctx=4096", 0, false},
        {"num_ctx=8192,num_gpu=20", "num_ctx=4096,num_gpu=20", 0, true},
        {"num_ctx=8192,num_gpu=20", "num_ctx=4096,num_gpu=21", 0, false},
        {"num_ctx=8192,num_gpu=20", "num_ctx=4096", 0, false},
        {"num_ctx=8192", "num_ctx=4096,shift=false", 0, false},
        // Ollama refuses these itself.
        {"num_ctx=8192", "num_ctx=[]", 0, false},
        {"", "num_ctx=[]", 4096, false},
        {"num_ctx=[]", "num_ctx=4", 4096, false},
        {"num_ctx=[]", "", 4096, false},
    };
    for (const auto& row : rows) {
        INFO(row.runner << " | " << row.wish << " | " << row.context);
        const auto wish = load_options::read(row.wish);
        CHECK(load_options::read(row.runner).serves_smaller(wish, row.context) == row.serves);
    }
}

TEST_CASE("random options: a load request made of them asks for the same again")
{
    std::mt19937 random(7);
    const auto pick = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    const std::vector<std::string> keys = {"num_ctx",  "num_batch",   "num_gpu",
                                           "main_gpu", "use_mmap",    "num_thread",
                                           "seed",     "num_predict", "draft_num_predict"};
    const std::vector<std::string> values = {"null",   "0",   "-1",   "4",     "4096",
                                             "4096.5", "1e4", "true", "\"x\"", "[1,2]",
                                             "false",  "{}",  "512",  "1e40"};
    const std::vector<std::string> parameters = {"", "num_ctx 4096\nnum_gpu 4", "use_mmap true"};
    for (int round = 0; round < 5000; ++round) {
        std::string members;
        for (const auto& key : keys) {
            if (pick(3) == 0) {
                members +=
                    (members.empty() ? "\"" : " , \"") + key + "\": " + values[pick(values.size())];
            }
        }
        const std::string shift[] = {"", R"(,"shift":true)", R"(,"shift": false)", R"(,"shift":3)"};
        const auto body = R"({"model":"m","options":{)" + members + "}" + shift[pick(4)] + "}";
        const auto model = parameters[pick(parameters.size())];
        const auto o = of(body, model);
        INFO(body << "\n" << model << "\n" << o.text());
        REQUIRE(load_options::read(o.text()) == o);
        const auto again = "{" + o.as_json_members() + "}";
        REQUIRE(nlohmann::json::accept(again));
        REQUIRE(of(again, model) == o);
        REQUIRE(load_options::read(o.without_num_ctx()).without_num_ctx() == o.without_num_ctx());
        REQUIRE(o.serves_smaller(o, 0) == (o.text().find("num_ctx=[]") == std::string::npos));
    }
}
