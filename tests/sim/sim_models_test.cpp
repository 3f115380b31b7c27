// What the simulated Ollama has loaded, why and with what: options, swaps, restarts, and what
// happens behind everybody's back.
#include "fixture.hpp"

using namespace sim_test;

namespace {

json fault(const char* kind, int count = 1)
{
    return {{"model", "m"}, {"kind", kind}, {"count", count}};
}

}  // namespace

TEST_CASE("other load-time options mean a reload, and the same ones said otherwise do not")
{
    fixture f(
        {"m,load=0s,prompt=0s,rate=0,tokens=1", "fixed,load=0s,prompt=0s,rate=0,num_ctx=8192"});
    auto call = [&](const char* model, const char* more) {
        auto body = std::string("{\"model\":\"") + model + "\",\"prompt\":\"x\",\"stream\":false" +
                    more + '}';
        REQUIRE(f.ask("POST", "/api/generate", body).status == 200);
        return f.stats()["loads"]["count"].get<int>();
    };
    CHECK(call("m", "") == 1);
    CHECK(call("m", ",\"options\":{\"num_ctx\":4096}") == 1);
    CHECK(call("m", ",\"options\":{\"num_ctx\":2048}") == 2);
    auto last = f.stats()["loads"]["list"].back();
    CHECK(last["options"] == "num_ctx=2048;");
    CHECK(last["context"] == 2048);
    CHECK(last["began_ms"] <= last["at_ms"]);
    CHECK(json::parse(f.ask("GET", "/api/ps").body)["models"][0]["context_length"] == 2048);
    CHECK(call("fixed", "") == 3);
    CHECK(call("fixed", ",\"options\":{\"num_ctx\":8192}") == 3);
    // An OpenAI call can say nothing of it: the Modelfile does.
    f.ask("POST", "/v1/chat/completions",
          "{\"model\":\"fixed\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    CHECK(f.stats()["loads"]["count"] == 3);
    auto shown = json::parse(f.ask("POST", "/api/show", "{\"model\":\"fixed\"}").body);
    CHECK(shown["parameters"].get<std::string>().starts_with(
        "num_ctx                        8192\nstop "));
    CHECK(shown["modelfile"].get<std::string>().find("\nPARAMETER num_ctx 8192\n") !=
          std::string::npos);
}

TEST_CASE("swaps are loads for which something had to go, and the VRAM's peak is known")
{
    fixture f({"a,size=6GB,load=0s,prompt=0s,rate=0", "b,size=5GB,load=0s,prompt=0s,rate=0"},
              [](sim::settings& s) { s.scheduler.vram = 10'000'000'000; });
    for (auto* model : {"a", "b", "b", "a"})
        f.ask("POST", "/api/generate", std::string("{\"model\":\"") + model + "\"}");
    auto s = f.stats();
    CHECK(s["loads"]["count"] == 3);
    CHECK(s["swaps"] == 2);
    CHECK(s["peak_vram"] == 6'000'000'000);
    CHECK(s["loaded"][0]["size_vram"] == 6'000'000'000);
    CHECK(s["unloads"]["list"][0]["reason"] == "evicted");
    CHECK(s["unloads"]["list"][0]["asked_while_busy"] == false);
}

TEST_CASE(
    "a restart cuts every connection, refuses new ones for a while and is back with nothing loaded")
{
    fixture f({"m,load=0s,prompt=0s,rate=100,tokens=1000000", "slow,load=10m"},
              [](sim::settings& s) { s.scheduler.leak_queued = true; });
    auto running = f.begin("/api/generate", "{\"model\":\"m\",\"prompt\":\"x\"}");
    REQUIRE(running.readable(2000));
    auto loading = f.begin("/api/generate", "{\"model\":\"slow\"}");
    auto queued = f.begin("/api/generate", "{\"model\":\"slow\"}");
    REQUIRE(soon([&] { return f.stats()["in_flight"] == 3; }));
    queued.close();
    REQUIRE(soon([&] { return f.stats()["leaked_handlers"] == 1; }));
    client asking(f.port);
    asking.request("POST", "/sim/restart", "{\"ms\":100}");
    CHECK(asking.read().status == 200);
    CHECK(!client(f.port).connected());
    CHECK(!running.read().complete);
    CHECK(loading.ends(1000));
    CHECK(soon([&] { return client(f.port).connected(); }));
    CHECK(soon([&] { return f.stats()["in_flight"] == 0; }));
    auto s = f.stats();
    CHECK(s["restarts"] == 1);
    CHECK(s["running"] == 0);
    CHECK(s["leaked_handlers"] == 0);
    CHECK(s["loaded"].empty());
    CHECK(s["unloads"]["list"][0]["reason"] == "restart");
    CHECK(s["aborts"]["count"] == 1);
    auto body = "{\"model\":\"m\",\"prompt\":\"x\",\"options\":{\"num_predict\":1}}";
    CHECK(f.ask("POST", "/api/generate", body).complete);
}

TEST_CASE("models are loaded and dropped behind everybody's back")
{
    fixture f({"m,load=10m,prompt=0s,rate=0"});
    CHECK(f.ask("POST", "/sim/loaded", "{\"model\":\"m\",\"options\":{\"num_ctx\":8192}}").status ==
          200);
    CHECK(f.ask("POST", "/sim/loaded", "{\"model\":\"m\"}").status == 400);
    CHECK(f.ask("POST", "/sim/loaded", "{\"model\":\"nobody\"}").status == 400);
    auto ps = json::parse(f.ask("GET", "/api/ps").body)["models"][0];
    CHECK(ps["name"] == "m:latest");
    CHECK(ps["context_length"] == 8192);
    CHECK(f.ask("DELETE", "/sim/loaded", "{\"model\":\"m\"}").status == 200);
    CHECK(!f.loaded("m:latest"));
    CHECK(f.ask("DELETE", "/sim/loaded", "{\"model\":\"m\"}").status == 400);
    CHECK(f.stats()["loads"]["count"] == 0);
}

TEST_CASE("busy is told in Ollama's words, loads fail as they are told to, a listing can be late")
{
    fixture f;
    std::string call = "{\"model\":\"m\",\"prompt\":\"x\"}";
    REQUIRE(f.server->fault(fault("busy")) == "");
    auto busy = f.ask("POST", "/api/generate", call);
    CHECK(busy.status == 503);
    CHECK(busy.body ==
          "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}");
    auto refused = fault("load_fail");
    refused["status"] = 400;
    refused["text"] = "no";
    REQUIRE(f.server->fault(refused) == "");
    auto failed = f.ask("POST", "/api/generate", "{\"model\":\"m\"}");
    CHECK(failed.status == 400);
    CHECK(failed.body == "{\"error\":\"no\"}");
    REQUIRE(f.server->fault({{"kind", "ps_hang"}, {"ms", 80}, {"count", 1}}) == "");
    client c(f.port);
    c.request("GET", "/api/ps");
    CHECK(!c.readable(20));
    CHECK(c.read().complete);
}

TEST_CASE("the prompt's time has no waiting for a slot in it")
{
    fixture f({"m,load=0s,prompt=20ms,rate=100,tokens=10"});
    std::string body = "{\"model\":\"m\",\"prompt\":\"x\",\"stream\":false}";
    auto first = f.begin("/api/generate", body);
    REQUIRE(soon([&] { return f.stats()["running"] == 1; }));
    auto second = f.ask("POST", "/api/generate", body);
    auto told = json::parse(second.body);
    CHECK(told["total_duration"] >= 170'000'000);
    CHECK(told["prompt_eval_duration"] >= 20'000'000);
    CHECK(told["prompt_eval_duration"] < 90'000'000);
    CHECK(first.read().complete);
}
