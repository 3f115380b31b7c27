// How the simulated Ollama behaves over time: loads, slots, clients that leave, bugs and faults.
#include "fixture.hpp"

using namespace sim_test;
using namespace std::chrono_literals;

namespace {

constexpr const char* endless =
    "{\"model\":\"m\",\"prompt\":\"x\",\"options\":{\"num_predict\":1000000}}";

json fault(const char* kind, int count = 1)
{
    return {{"model", "m"}, {"kind", kind}, {"count", count}};
}

}  // namespace

TEST_CASE("a model is absent while it loads, listed when it is there, gone after an unload")
{
    fixture f({"m,load=150ms,prompt=0s,rate=0,tokens=1"});
    auto c = f.begin("/api/generate", "{\"model\":\"m\"}");
    REQUIRE(soon([&] { return f.stats()["loading"] == "m:latest"; }));
    CHECK(!f.loaded("m:latest"));
    auto loaded = json::parse(c.read().body);
    CHECK(loaded["done_reason"] == "load");
    CHECK(loaded["response"] == "");
    CHECK(f.loaded("m:latest"));
    auto ps = json::parse(f.ask("GET", "/api/ps").body)["models"][0];
    CHECK(ps["size_vram"] == ps["size"]);
    CHECK(ps["context_length"] == 4096);
    auto gone = f.ask("POST", "/api/chat",
                      "{\"model\":\"M:latest\",\"messages\":[],\"keep_alive\":\"0s\"}");
    CHECK(json::parse(gone.body)["done_reason"] == "unload");
    CHECK(json::parse(gone.body)["model"] == "M:latest");
    CHECK(soon([&] { return !f.loaded("m:latest"); }));
    CHECK(f.stats()["unloads"]["list"][0]["reason"] == "request");
    // It never loads anything.
    f.ask("POST", "/api/generate", "{\"model\":\"m\",\"keep_alive\":0}");
    CHECK(f.stats()["loads"]["count"] == 1);
}

TEST_CASE("no more calls run than there are slots, and the others wait in their order")
{
    fixture f({"m,load=0s,prompt=20ms,rate=0,tokens=1"},
              [](sim::settings& s) { s.scheduler.num_parallel = 2; });
    std::vector<client> clients;
    for (int i = 0; i < 6; ++i)
        clients.push_back(f.begin("/api/generate", "{\"model\":\"m\",\"prompt\":\"x\"}"));
    for (auto& c : clients)
        CHECK(c.read().complete);
    auto m = f.model_stats("m:latest");
    CHECK(m["peak"] == 2);
    CHECK(m["peak_in_flight"] == 6);
    CHECK(f.stats()["running"] == 0);
}

TEST_CASE("an embedding of many inputs takes as many turns")
{
    fixture f({"m,load=0s,prompt=30ms,rate=0,dim=2"},
              [](sim::settings& s) { s.scheduler.num_parallel = 3; });
    auto began = std::chrono::steady_clock::now();
    f.ask("POST", "/api/embed",
          "{\"model\":\"m\",\"input\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]}");
    auto took = std::chrono::steady_clock::now() - began;
    CHECK(took >= 60ms);
    CHECK(f.model_stats("m:latest")["peak"] == 3);
}

TEST_CASE("tokens come at the model's rate")
{
    fixture f({"m,load=0s,prompt=50ms,rate=100,tokens=11"});
    auto began = std::chrono::steady_clock::now();
    auto c = f.begin("/api/generate", "{\"model\":\"m\",\"prompt\":\"x\"}");
    CHECK(!c.readable(30));
    CHECK(c.read().complete);
    auto took = std::chrono::steady_clock::now() - began;
    CHECK(took >= 149ms);
    CHECK(took < 400ms);
}

TEST_CASE("a client that leaves ends its run at once, and its phase is told")
{
    fixture f({"m,load=500ms,prompt=100ms,rate=50,tokens=100", "n,load=0s"});
    SECTION("while loading: the load is given up")
    {
        auto c = f.begin("/api/generate", endless);
        REQUIRE(soon([&] { return f.stats()["loading"] == "m:latest"; }));
        c.close();
        REQUIRE(soon([&] { return f.stats()["aborts"]["count"] == 1; }));
        CHECK(f.stats()["aborts"]["list"][0]["phase"] == "loading");
        CHECK(f.stats()["loads"]["list"][0]["result"] == "aborted");
        CHECK(f.stats()["loading"] == nullptr);
    }
    SECTION("while queued for another load")
    {
        auto first = f.begin("/api/generate", endless);
        REQUIRE(soon([&] { return f.stats()["loading"] == "m:latest"; }));
        auto c = f.begin("/api/generate", "{\"model\":\"n\",\"prompt\":\"x\"}");
        REQUIRE(soon([&] { return f.stats()["pending"] == 1; }));
        c.reset();
        REQUIRE(soon([&] { return f.stats()["aborts"]["count"] == 1; }));
        CHECK(f.stats()["aborts"]["list"][0]["phase"] == "queued");
        CHECK(soon([&] { return f.stats()["connections"]["open"] == 1; }));
    }
    SECTION("while streaming, and while another waits for its slot")
    {
        auto first = f.begin("/api/generate", endless);
        REQUIRE(first.readable(2000));
        auto c = f.begin("/api/generate", endless);
        REQUIRE(soon([&] { return f.stats()["in_flight"] == 2; }));
        auto third = f.begin("/api/generate", endless);
        REQUIRE(soon([&] { return f.stats()["in_flight"] == 3; }));
        c.close();
        REQUIRE(soon([&] { return f.stats()["aborts"]["count"] == 1; }));
        CHECK(f.stats()["aborts"]["list"][0]["phase"] == "slot");
        first.half_close();
        REQUIRE(soon([&] { return f.stats()["aborts"]["count"] == 2; }));
        CHECK(f.stats()["aborts"]["list"][1]["phase"] == "streaming");
        CHECK(third.readable(2000));
    }
    SECTION("in a one-piece answer")
    {
        auto c = f.begin("/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"stream\":false}");
        REQUIRE(soon([&] { return f.stats()["running"] == 1; }));
        c.close();
        CHECK(soon([&] { return f.stats()["running"] == 0; }));
        CHECK(f.stats()["aborts"]["list"][0]["phase"] == "prompt");
    }
    CHECK(f.stats()["leaked_handlers"] == 0);
}

TEST_CASE("a disconnect is noticed when Go's server notices it")
{
    struct row {
        const char* how;
        std::string first;
        std::string then;
        bool noticed;
    };
    std::string body = "{\"model\":\"m\",\"prompt\":\"x\",\"stream\":false}";
    auto size = std::to_string(body.size());
    auto longer = std::to_string(body.size() + 1);
    auto head = [](const std::string& path, const std::string& framing) {
        return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + framing + "\r\n\r\n";
    };
    std::string hex;
    for (auto n = body.size(); n > 0; n /= 16)
        hex.insert(hex.begin(), "0123456789abcdef"[n % 16]);
    auto chunk = hex + "\r\n" + body + "\r\n";
    std::string v1 = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    auto rows = std::vector<row>{
        {"exact length", head("/api/generate", "Content-Length: " + size) + body, "", true},
        {"chunked at once",
         head("/api/generate", "Transfer-Encoding: chunked") + chunk + "0\r\n\r\n", "", true},
        {"last chunk later", head("/api/generate", "Transfer-Encoding: chunked") + chunk,
         "0\r\n\r\n", false},
        {"newline later", head("/api/generate", "Content-Length: " + longer) + body, "\n", false},
        {"pipelined", head("/api/generate", "Content-Length: " + size) + body, "GET / HTTP/1.1\r\n",
         false},
        {"/v1, newline later",
         head("/v1/chat/completions", "Content-Length: " + std::to_string(v1.size() + 1)) + v1,
         "\n", true},
    };
    fixture f({"m,load=0s,prompt=150ms,rate=0,tokens=1"});
    for (auto& r : rows) {
        CAPTURE(r.how);
        f.server->reset();
        client c(f.port);
        c.send(r.first);
        if (!r.then.empty()) {
            std::this_thread::sleep_for(20ms);
            c.send(r.then);
            std::this_thread::sleep_for(10ms);
        }
        REQUIRE(soon([&] { return f.stats()["runs"] == 1; }));
        c.close();
        if (r.noticed) {
            CHECK(soon([&] { return f.stats()["aborts"]["count"] == 1; }));
            CHECK(f.stats()["tokens"] == 0);
        } else {
            CHECK(soon([&] { return f.stats()["tokens"] == 1; }));
            CHECK(f.stats()["aborts"]["count"] == 0);
        }
        CHECK(soon([&] { return f.stats()["connections"]["open"] == 0; }));
    }
}

TEST_CASE("a request cancelled in the queue leaks its socket when that bug is on")
{
    fixture f({"m,load=500ms,rate=0", "n,load=0s,rate=0"},
              [](sim::settings& s) { s.scheduler.leak_queued = true; });
    auto first = f.begin("/api/generate", "{\"model\":\"m\"}");
    REQUIRE(soon([&] { return f.stats()["loading"] == "m:latest"; }));
    auto c = f.begin("/api/generate", "{\"model\":\"n\",\"prompt\":\"x\"}");
    REQUIRE(soon([&] { return f.stats()["pending"] == 1; }));
    c.close();
    CHECK(first.read().status == 200);
    first.close();
    CHECK(soon([&] { return f.stats()["connections"]["open"] == 1; }));
    CHECK(f.stats()["leaked_handlers"] == 1);
    CHECK(f.ask("POST", "/api/generate", "{\"model\":\"n\"}").status == 200);
}

TEST_CASE("an abort in a blocked write costs a slot when that bug is on")
{
    fixture f({"m,load=0s,prompt=0s,rate=0"}, [](sim::settings& s) {
        s.slot_leak = true;
        s.send_buffer = 4096;
    });
    {
        client c(f.port, 4096);
        c.request("POST", "/api/generate", endless);
        REQUIRE(soon([&] { return f.stats()["tokens"] > 10; }));
        std::uint64_t before = 0;
        REQUIRE(soon([&] {
            auto now = f.stats()["tokens"].get<std::uint64_t>();
            std::this_thread::sleep_for(20ms);
            return std::exchange(before, now) == now;
        }));
        c.reset();
    }
    REQUIRE(soon([&] { return f.stats()["aborts"]["count"] == 1; }));
    CHECK(f.stats()["aborts"]["list"][0]["phase"] == "blocked");
    CHECK(soon([&] { return f.stats()["leaked_slots"] == 1; }));
    auto stuck = f.begin("/api/generate", "{\"model\":\"m\",\"prompt\":\"x\"}");
    CHECK(!stuck.readable(100));
    stuck.close();
    // Only an unload helps.
    REQUIRE(soon([&] { return f.stats()["in_flight"] == 0; }));
    f.ask("POST", "/api/generate", "{\"model\":\"m\",\"keep_alive\":0}");
    REQUIRE(soon([&] { return !f.loaded("m:latest"); }));
    CHECK(f.ask("POST", "/api/generate", "{\"model\":\"m\",\"prompt\":\"x\"}").complete);
}

TEST_CASE("each fault does what its name says, as often as it was told")
{
    fixture f({"m,load=0s,prompt=0s,rate=0,tokens=6"});
    std::string native = "{\"model\":\"m\",\"prompt\":\"x\"}";
    std::string whole = "{\"model\":\"m\",\"prompt\":\"x\",\"stream\":false}";
    std::string v1 =
        "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
    auto arm = [&](json j) { REQUIRE(f.server->fault(std::move(j)) == ""); };
    SECTION("silence before the head, until the client leaves")
    {
        arm(fault("silent_head"));
        auto c = f.begin("/api/generate", native);
        CHECK(!c.readable(80));
        CHECK(f.stats()["running"] == 1);
        c.close();
        CHECK(soon([&] { return f.stats()["running"] == 0; }));
        CHECK(f.stats()["aborts"]["list"][0]["phase"] == "silent");
    }
    SECTION("silence in the middle")
    {
        arm(fault("silent_mid"));
        auto c = f.begin("/api/generate", native);
        auto r = c.read(false, 80);
        CHECK(r.chunks.size() == 3);
        CHECK(!r.complete);
        CHECK(!r.closed);
    }
    SECTION("reset in the middle")
    {
        arm(fault("reset_mid"));
        auto c = f.begin("/api/generate", native);
        auto r = c.read();
        CHECK(!r.complete);
        CHECK(r.reset);
    }
    SECTION("an end without the last chunk")
    {
        arm(fault("early_end"));
        auto r = f.ask("POST", "/api/generate", native);
        CHECK(r.chunks.size() == 3);
        CHECK(!r.complete);
        CHECK(r.closed);
        CHECK(!r.reset);
    }
    SECTION("a clean end without done")
    {
        arm(fault("no_done"));
        auto r = f.ask("POST", "/api/generate", native);
        CHECK(r.complete);
        CHECK(r.body.find("\"done\":true") == std::string::npos);
        arm(fault("no_done"));
        CHECK(json::parse(f.ask("POST", "/api/generate", whole).body)["done"] == false);
    }
    SECTION("a chunk header that is none")
    {
        arm(fault("bad_chunk"));
        auto r = f.ask("POST", "/api/generate", native);
        CHECK(r.chunks.size() == 3);
        CHECK(!r.complete);
    }
    SECTION("an error line, which /v1 swallows")
    {
        arm(fault("error_line", 2));
        auto r = f.ask("POST", "/api/generate", native);
        CHECK(r.complete);
        CHECK(json::parse(r.chunks.back()).contains("error"));
        auto sse = f.ask("POST", "/v1/chat/completions", v1);
        CHECK(sse.complete);
        CHECK(sse.chunks.size() == 4);
        CHECK(sse.body.find("[DONE]") == std::string::npos);
        CHECK(sse.body.find("\"finish_reason\":\"") == std::string::npos);
        auto first = fault("error_line");
        first["after"] = 0;
        arm(first);
        auto before = f.ask("POST", "/api/generate", native);
        CHECK(before.status == 500);
        CHECK(before.field("Content-Type") == "application/json");
    }
    SECTION("a status in the endpoint's own shape")
    {
        auto busy = fault("status", 2);
        busy["status"] = 503;
        busy["text"] = "busy";
        arm(busy);
        auto r = f.ask("POST", "/api/generate", native);
        CHECK(r.status == 503);
        CHECK(r.body == "{\"error\":\"busy\"}");
        CHECK(f.ask("POST", "/v1/chat/completions", v1).body ==
              "{\"error\":{\"message\":\"busy\",\"type\":\"api_error\",\"param\":null,\"code\":"
              "null}}\n");
    }
    SECTION("garbage, a reset or an end in place of an answer")
    {
        arm(fault("garbage"));
        arm(fault("reset_head"));
        arm(fault("close_head"));
        CHECK(f.ask("POST", "/api/generate", native).status == 0);
        auto reset = f.ask("POST", "/api/generate", native);
        CHECK(reset.reset);
        auto closed = f.ask("POST", "/api/generate", native);
        CHECK(closed.closed);
        CHECK(!closed.reset);
    }
    SECTION("chunks of one byte, and bytes one at a time")
    {
        auto good =
            f.ask("POST", "/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"stream\":true}");
        arm(fault("split"));
        auto split = f.ask("POST", "/api/generate", native);
        CHECK(split.complete);
        CHECK(split.chunks.size() == split.body.size());
        auto slow = fault("slow");
        slow["ms"] = 1;
        arm(slow);
        auto began = std::chrono::steady_clock::now();
        auto r =
            f.ask("POST", "/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"stream\":false}");
        CHECK(r.complete);
        CHECK(std::chrono::steady_clock::now() - began > 200ms);
    }
    SECTION("extra bytes after the answer, and an end that was not announced")
    {
        arm(fault("extra_after"));
        auto c = f.begin("/api/generate", whole);
        CHECK(c.read().complete);
        CHECK(c.readable(1000));
        arm(fault("close_after"));
        auto d = f.begin("/api/generate", whole);
        auto r = d.read();
        CHECK(r.complete);
        CHECK(r.field("Connection").empty());
        CHECK(d.ends(1000));
    }
    SECTION("an unload that does nothing")
    {
        f.ask("POST", "/api/generate", native);
        arm(fault("unload_noop"));
        CHECK(f.ask("POST", "/api/generate", "{\"model\":\"m\",\"keep_alive\":0}").status == 200);
        std::this_thread::sleep_for(30ms);
        CHECK(f.loaded("m:latest"));
        f.ask("POST", "/api/generate", "{\"model\":\"m\",\"keep_alive\":0}");
        CHECK(soon([&] { return !f.loaded("m:latest"); }));
    }
    SECTION("a listing that hangs, a listener that is not there")
    {
        arm({{"kind", "ps_hang"}, {"count", 1}});
        client c(f.port);
        c.request("GET", "/api/ps");
        CHECK(!c.readable(50));
        CHECK(f.ask("GET", "/api/ps").status == 200);
        arm({{"kind", "refuse"}, {"ms", 100}});
        CHECK(!client(f.port).connected());
        CHECK(soon([&] { return client(f.port).connected(); }));
    }
    SECTION("a load that fails or never ends")
    {
        arm(fault("load_fail"));
        auto r = f.ask("POST", "/api/generate", native);
        CHECK(r.status == 500);
        CHECK(r.body == "{\"error\":\"llama-server process has terminated: exit status 2\"}");
        CHECK(f.stats()["loads"]["list"][0]["result"] == "failed");
        arm(fault("load_hang"));
        auto c = f.begin("/api/generate", native);
        CHECK(!c.readable(50));
        c.close();
        REQUIRE(soon([&] { return f.stats()["aborts"]["count"] == 1; }));
    }
    f.server->clear_faults();
    CHECK(f.ask("POST", "/api/generate", native).complete);
}

TEST_CASE("a fault with a path strikes whatever comes there, once each")
{
    fixture f;
    std::string load = "{\"model\":\"m\"}", unload = "{\"model\":\"m\",\"keep_alive\":0}";
    for (auto& body : {load, unload}) {
        REQUIRE(f.server->fault({{"kind", "status"}, {"path", "/api/generate"}, {"count", 1}}) ==
                "");
        CHECK(f.ask("POST", "/api/generate", body).status == 500);
        CHECK(f.ask("POST", "/api/generate", body).status == 200);
        REQUIRE(f.server->fault({{"kind", "extra_after"}, {"path", "/api/generate"}}) == "");
        auto c = f.begin("/api/generate", body);
        CHECK(c.read().complete);
        CHECK(c.readable(1000));
        f.server->clear_faults();
    }
    REQUIRE(f.server->fault({{"kind", "status"}, {"path", "/api/tags"}, {"status", 503}}) == "");
    CHECK(f.ask("GET", "/api/tags").status == 503);
    CHECK(f.ask("GET", "/api/version").status == 200);
}

TEST_CASE("the control endpoints set faults and models and show what came")
{
    fixture f;
    CHECK(f.ask("POST", "/sim/fault", "{\"model\":\"m\",\"kind\":\"status\",\"status\":418}")
              .status == 200);
    CHECK(f.ask("POST", "/api/generate", "{\"model\":\"m\",\"prompt\":\"x\"}").status == 418);
    CHECK(f.ask("POST", "/sim/fault", "{\"model\":\"m\",\"kind\":\"nonsense\"}").status == 400);
    CHECK(f.ask("DELETE", "/sim/fault").status == 200);
    CHECK(
        f.ask(
             "POST", "/sim/model",
             "{\"name\":\"late\",\"size\":7,\"load_ms\":1,\"prompt_ms\":0,\"rate\":0,\"tokens\":2}")
            .status == 200);
    CHECK(f.ask("POST", "/api/generate", "{\"model\":\"late\",\"prompt\":\"x\"}", "X-Mark: 1\r\n")
              .chunks.size() == 3);
    auto seen = json::parse(f.ask("GET", "/sim/requests").body);
    bool found = false;
    for (auto& r : seen)
        if (r["model"] == "late:latest") {
            found = true;
            CHECK(r["body"] == "{\"model\":\"late\",\"prompt\":\"x\"}");
            CHECK(r["complete"] == true);
            CHECK(r["headers"].dump().find("[\"X-Mark\",\"1\"]") != std::string::npos);
            CHECK(r["sha256"] == sim::sha256_hex(r["body"].get<std::string>()));
        }
    CHECK(found);
    CHECK(f.ask("POST", "/sim/reset").status == 200);
    CHECK(json::parse(f.ask("GET", "/sim/stats").body)["runs"] == 0);
    std::string big =
        "{\"model\":\"m\",\"prompt\":\"" + std::string(200'000, 'a') + "\",\"stream\":false}";
    CHECK(f.ask("POST", "/api/generate", big).status == 200);
    auto last = f.server->requests().back();
    CHECK(last["body_size"] == big.size());
    CHECK(last["sha256"] == sim::sha256_hex(big));
}

TEST_CASE("stamps are nanoseconds of the machine's monotonic clock")
{
    fixture f({"m,load=0s,prompt=0s,rate=0,tokens=3"}, [](sim::settings& s) { s.stamp = true; });
    auto before = std::chrono::steady_clock::now().time_since_epoch().count();
    auto r = f.ask("POST", "/api/generate", "{\"model\":\"m\",\"prompt\":\"x\"}");
    auto text = json::parse(r.chunks[0])["response"].get<std::string>();
    auto after = std::chrono::steady_clock::now().time_since_epoch().count();
    REQUIRE(text.size() == 20);
    CHECK(std::stoll(text) >= before);
    CHECK(std::stoll(text) <= after);
}

TEST_CASE("stopping ends every connection, whatever it is doing")
{
    auto f = std::make_unique<fixture>(
        std::vector<std::string>{"m,load=0s,prompt=0s,rate=100", "slow,load=10m"},
        [](sim::settings& s) { s.scheduler.leak_queued = true; });
    auto a = f->begin("/api/generate", endless);
    auto b = f->begin("/api/generate", "{\"model\":\"slow\"}");
    auto c = f->begin("/api/generate", "{\"model\":\"slow\"}");
    client idle(f->port);
    REQUIRE(soon([&] { return f->stats()["in_flight"] == 3; }));
    c.close();
    REQUIRE(soon([&] { return f->stats()["aborts"]["count"] == 1; }));
    f.reset();
    CHECK(b.ends(1000));
    CHECK(idle.ends(1000));
}
