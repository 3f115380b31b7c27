// What the simulated Ollama has on its disk: models, their names and how they behave. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/sim/text.hpp"

namespace sim {

struct model_spec {
    std::string name;  // as /api/tags lists it: short, with its tag
    std::string blob;  // hex digest of the weights: what identifies a runner (sched.go:110)
    std::string digest;
    std::uint64_t size = 4'700'000'000;
    std::uint64_t vram = 0;   // without the cache of its context; 0: as large as the file
    std::uint64_t cache = 0;  // bytes of VRAM for each token of context, in each slot
    duration load = std::chrono::milliseconds(500);
    duration prompt = std::chrono::milliseconds(20);
    double rate = 50;  // tokens per second; 0 is as fast as possible
    int tokens = 50;
    bool embedding = false;
    bool tools = true;
    bool thinking = false;
    int context = 131072;  // trained
    int dimensions = 768;
    duration pull = std::chrono::milliseconds(600);
    std::string family = "llama";
    std::map<std::string, int> parameters;  // load-time ones of its Modelfile (PARAMETER lines)

    // llama-server is started with a context of context × slots (§5).
    std::uint64_t needs(int num_ctx, int slots) const
    {
        return (vram != 0 ? vram : size) +
               cache * static_cast<std::uint64_t>(num_ctx) * static_cast<std::uint64_t>(slots);
    }
};

using model_ptr = std::shared_ptr<const model_spec>;

// `name[:tag],size=4.7GB,vram=5GiB,cache=128KiB,load=3s,prompt=200ms,rate=20,tokens=50,embedding,tools=0,thinking,
// ctx=8192,dim=384,file=BLOB,pull=1s,family=llama,num_ctx=8192`. Models with one `file` share their
// runner; a load-time option is a PARAMETER of the Modelfile. On a mistake `error` names it.
struct parsed_model {
    model_spec model;
    std::string error;
};
parsed_model parse_model(std::string_view text);

// The load-time options that are numbers; use_mmap is given as 0 or 1.
bool is_load_time(std::string_view option);

// Fills in blob and digest from the name and the given file name, or from the name alone.
void identify(model_spec& model, std::string_view file);

// A name as Ollama compares them (types/model/name.go): registry and library prefixes and `:latest`
// are defaults, case does not count. Empty when it is no valid name.
std::string canonical_name(std::string_view name);

class library {
public:
    void put(model_spec model);
    bool remove(std::string_view name);
    // Null when there is none of that name.
    model_ptr find(std::string_view name) const;
    std::vector<model_ptr> all() const;

private:
    std::map<std::string, model_ptr> models_;
};

// What an `ollama-sim` without --model has.
std::vector<model_spec> default_models();

}  // namespace sim
