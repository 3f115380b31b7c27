// What `check` advises, and when it keeps quiet.
#include "advice/advice.hpp"

#include "catch.hpp"

using namespace gateway;

namespace {

config quiet()
{
    config c;
    c.upstreams.push_back({"local", "http://127.0.0.1:11434", 1, 1, std::nullopt});
    return c;
}

bool tells(const std::vector<std::string>& all, const std::string& text)
{
    for (const auto& a : all)
        if (a.find(text) != std::string::npos)
            return true;
    return false;
}

const std::vector<graphics_card> one_card{{"NVIDIA GeForce RTX 4090", 24564ull << 20}};

}  // namespace

TEST_CASE("there is nothing to say about one call at a time on loopback")
{
    CHECK(advice(quiet(), {}).empty());
}

TEST_CASE("what nvidia-smi says becomes cards")
{
    auto cards = parse_cards("NVIDIA GeForce RTX 4090, 24564\nTesla, T4, 15360\n");
    REQUIRE(cards.size() == 2);
    CHECK(cards[0].name == "NVIDIA GeForce RTX 4090");
    CHECK(cards[0].bytes == 24564ull << 20);
    CHECK(cards[1].name == "Tesla, T4");
    for (const char* none : {"", "\n", "No devices were found\n", "x, [N/A]\n", ",\n", "x, -5\n"})
        CHECK(parse_cards(none).empty());
}

TEST_CASE("vram is proposed a gibibyte below what is there, and questioned above it")
{
    auto c = quiet();
    CHECK(tells(advice(c, one_card), "\"vram\": \"22GiB\""));
    c.upstreams[0].vram = 20ull << 30;
    CHECK_FALSE(tells(advice(c, one_card), "vram"));
    c.upstreams[0].vram = 48ull << 30;
    CHECK(tells(advice(c, one_card), "upstreams[0].vram is 48GiB, but nvidia-smi"));
    c.upstreams[0] = {"far", "http://gpu.lab.org:11434", 1, 1, std::nullopt};
    CHECK(advice(c, one_card).empty());  // these cards are not the upstream's
    c = quiet();
    CHECK(tells(advice(c, {one_card[0], one_card[0]}), "\"vram\": \"46GiB\""));
}

TEST_CASE("Ollama is to run as many calls of a model as the gateway sends it")
{
    auto c = quiet();
    c.upstreams[0].max_concurrent = 3;
    auto said = advice(c, {});
    CHECK(tells(said, "systemctl edit ollama"));
    CHECK(tells(said, "Environment=OLLAMA_NUM_PARALLEL=3"));
}

TEST_CASE("what is open to everybody is told, until there are keys")
{
    auto c = quiet();
    c.listen = {"0.0.0.0:11435"};
    CHECK(tells(advice(c, {}), "listen 0.0.0.0:11435"));
    c.listen = {":11435"};
    CHECK(tells(advice(c, {}), "listen :11435"));
    c.listen = {"unix:/run/gw", "[::1]:11435", "localhost:1"};
    CHECK(advice(c, {}).empty());
    c.hosts = {"ollama.lab.org"};
    CHECK(tells(advice(c, {}), "ollama.lab.org"));
    c.management = "allow";
    CHECK(tells(advice(c, {}), "management"));
    c.auth.keys_file = "/etc/keys";
    CHECK(advice(c, {}).empty());
    c.admin_listen = "0.0.0.0:9435";
    CHECK(tells(advice(c, {}), "admin.listen"));
}

TEST_CASE("trusting everybody to say who they are is told")
{
    auto c = quiet();
    c.clients.trusted_proxies = {"0.0.0.0/0"};
    CHECK(tells(advice(c, {}), "trusted_proxies"));
}
