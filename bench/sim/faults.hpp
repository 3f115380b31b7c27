// What goes wrong on purpose: which fault strikes which request, and how often. Pure.
//
// Without a path a fault strikes requests that run a model (a prompt, messages, inputs), never the
// load and unload requests; with a path it strikes whatever arrives there.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/sim/go_json.hpp"

namespace sim {

enum class fault_kind {
    // In place of an answer, before a slot is asked for:
    status,      // `status` (500) with `text` in the endpoint's error shape
    busy,        // `status` (503) in Ollama's words for a full queue of loads
    hang,        // nothing, until the client leaves
    garbage,     // bytes that are no HTTP, then FIN
    reset_head,  // RST
    close_head,  // FIN
    // The answer is right but comes strangely:
    slow,         // one byte each `ms` (10)
    split,        // chunks of `size` (1) bytes, through the middle of UTF-8 characters
    extra_after,  // bytes after the end of the answer
    close_after,  // FIN after the answer, unannounced
    // While a slot is held:
    silent_head,  // no byte, until the client leaves; or, with `ms`, only for so long
    silent_mid,   // the same after `after` tokens
    reset_mid,    // RST after `after` tokens
    early_end,    // FIN without the last chunk after `after` tokens
    no_done,      // a clean end without the final record after `after` tokens
    bad_chunk,    // a chunk header that is none after `after` tokens
    error_line,   // the in-band error `text` after `after` tokens
    // Others:
    load_fail,    // a load ends in `status` (500) with `text`
    load_hang,    // a load never ends
    load_slow,    // a load takes `ms` longer
    unload_noop,  // an unload is answered and nothing happens
    ps_hang,      // GET /api/ps is not answered; or, with `ms`, only so late
};

enum class fault_stage { before, manner, run, load, unload, ps };

struct fault {
    std::string model = "*";  // canonical, or "*"
    std::string path;
    fault_kind kind = fault_kind::status;
    int left = -1;  // strikes; -1: until cleared
    int after = 3;
    int ms = 0;
    int status = 0;
    int size = 1;
    std::string text;
};

std::optional<fault_kind> fault_kind_named(std::string_view name);
std::string_view name_of(fault_kind kind);

class fault_table {
public:
    // {"model","kind","count","path","after","ms","status","size","text"}; the mistake, or empty.
    std::string add(const json& object);
    // `model:kind[:count][,after=n,ms=n,status=n,size=n,text=…,path=…]`
    std::string add(std::string_view flag);
    // The first that fits, counted down. `runs`: the request runs a model.
    std::optional<fault> take(fault_stage stage, std::string_view model, std::string_view path,
                              bool runs);
    // Those of one model, or all when `model` is empty.
    void clear(std::string_view model);
    json list() const;
    bool empty() const { return faults_.empty(); }

private:
    std::vector<fault> faults_;
};

}  // namespace sim
