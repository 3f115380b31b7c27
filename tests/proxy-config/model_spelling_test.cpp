// Names of one model: what the configuration takes for the same is what the calls take for the
// same.
#include "proxy-config/model_spelling.hpp"

#include "call/model_name.hpp"
#include "catch.hpp"

#include <random>

using namespace gateway;

TEST_CASE("names of one model have one spelling")
{
    for (const char* same : {"llama3", "Llama3:latest", "library/llama3", " llama3 ",
                             "llama3:latest:local", "registry.ollama.ai/library/llama3:LATEST",
                             "https://registry.ollama.ai/library/llama3"}) {
        CAPTURE(same);
        CHECK(model_spelling(same) == "llama3:latest");
    }
    CHECK(model_spelling("bob/m:7b") == "bob/m:7b");
    CHECK(model_spelling("host:5000/ns/m") == "host:5000/ns/m:latest");
    CHECK(model_spelling("registry.ollama.ai/bob/m") == "bob/m:latest");
    CHECK(model_spelling("") == "");
}

TEST_CASE("the configuration and the calls spell every model's name alike")
{
    const std::vector<std::string> parts{"registry.ollama.ai/",
                                         "library/",
                                         "bob/",
                                         "M",
                                         ":7b",
                                         ":latest",
                                         ":local",
                                         "https://",
                                         "http://",
                                         "/",
                                         ":",
                                         " ",
                                         "host:5000/"};
    std::mt19937 random(5);
    for (int round = 0; round < 20'000; ++round) {
        std::string name;
        for (auto left = random() % 6; left > 0; --left) {
            name += parts[random() % parts.size()];
        }
        CAPTURE(name);
        REQUIRE(model_spelling(name) == canonical_model(name));
    }
}
