// Model names as Ollama compares them.
#include "call/model_name.hpp"

#include "catch.hpp"

using namespace gateway;

TEST_CASE("model names are compared as Ollama compares them")
{
    struct row {
        const char* written;
        const char* same;
    };
    for (const row& r :
         {row{"llama3", "llama3:latest"}, row{"llama3:latest", "llama3:latest"},
          row{"LLaMA3:8B", "llama3:8b"}, row{" llama3 ", "llama3:latest"},
          row{"library/llama3", "llama3:latest"},
          row{"registry.ollama.ai/library/llama3", "llama3:latest"},
          row{"https://registry.ollama.ai/library/llama3:x", "llama3:x"},
          row{"registry.ollama.ai/me/m", "me/m:latest"},
          row{"registry.ollama.ai/m", "registry.ollama.ai/m:latest"}, row{"me/m:q4", "me/m:q4"},
          row{"hf.co/a/b:Q4_K_M", "hf.co/a/b:q4_k_m"}, row{"host:5000/a/b", "host:5000/a/b:latest"},
          row{"hf.co/library/b", "hf.co/library/b:latest"}, row{"m:local", "m:latest"},
          row{"m:8b:local", "m:8b"}, row{"gpt-oss:120b-cloud", "gpt-oss:120b-cloud"}, row{"", ""},
          row{"  ", ""}}) {
        INFO(r.written);
        CHECK(canonical_model(r.written) == r.same);
        CHECK(canonical_model(canonical_model(r.written)) == r.same);
    }
    for (const char* cloud :
         {"m:cloud", "m:CLOUD", "gpt-oss:120b-cloud", "a/b:x-Cloud", "m: cloud "}) {
        INFO(cloud);
        CHECK(is_cloud(cloud));
    }
    for (const char* local :
         {"m", "m-cloud", "cloud", "m:8b", "m:clouds", "host:1/x-cloud", "m:xcloud", ""}) {
        INFO(local);
        CHECK_FALSE(is_cloud(local));
    }
}
