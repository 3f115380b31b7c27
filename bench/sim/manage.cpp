// What changes the models on the disk: pull, push, create, copy, delete, blobs (§6). Progress is
// NDJSON with long silences in it; blobs are streamed and only counted.
#include <openssl/evp.h>

#include "bench/sim/dialect.hpp"
#include "bench/sim/routes.hpp"

namespace sim {

namespace {

constexpr auto tick = std::chrono::milliseconds(60);  // download.go:450

struct named_request {
    json body;
    std::string name;
    bool stream = true;
};

// `name` is the old word for `model`, and the CLI still uses it. False: a refusal has been sent.
awaitable<bool> read_named(connection& c, named_request& out)
{
    std::string body;
    auto here = co_await c.read_value(body);
    if (!here)
        co_return false;
    auto parsed = parse_go_json(body);
    answer refused;
    for (const char* key : {"name", "model"})
        if (auto& v = member(parsed.value, key);
            v.is_string() && !v.get_ref<const std::string&>().empty())
            out.name = v.get<std::string>();
    if (parsed.error == "EOF")
        refused = native_failure(400, "missing request body");
    else if (!parsed.error.empty())
        refused = native_failure(400, parsed.error);
    else if (canonical_name(out.name).empty())
        refused = native_failure(400, "invalid model name");
    if (refused.status != 200) {
        co_await c.reply(std::move(refused));
        co_return false;
    }
    auto& stream = member(parsed.value, "stream");
    out.stream = !stream.is_boolean() || stream.get<bool>();
    out.body = std::move(parsed.value);
    co_return true;
}

// Says the lines of an operation as it goes, or only the last of them.
class progress {
public:
    progress(connection& c, bool stream) : c_(c), stream_(stream) {}

    awaitable<void> say(std::string line)
    {
        if (stream_ && !started_) {
            started_ = true;
            co_await c_.start_stream("application/x-ndjson");
        }
        if (stream_)
            c_.frame(line + '\n');
        last_ = std::move(line);
    }
    awaitable<void> status(std::string text)
    {
        auto line = "{\"status\":\"" + go_escaped(text) + "\"}";
        co_await say(std::move(line));
    }
    awaitable<void> fail(std::string message)
    {
        failed_ = true;
        auto line = native_error(message);
        co_await say(std::move(line));
    }
    awaitable<void> end()
    {
        if (stream_) {
            c_.end_stream();
            co_return;
        }
        answer a;
        a.status = failed_ ? 500 : 200;
        a.type = "application/json";
        a.body = last_;
        co_await c_.reply(std::move(a));
    }
    // False: the client is gone.
    awaitable<bool> wait(duration d)
    {
        auto until = steady::now() + d;
        while (!c_.gone() && steady::now() < until)
            co_await c_.pause_until(until);
        co_return !c_.gone();
    }

private:
    connection& c_;
    bool stream_;
    bool started_ = false;
    bool failed_ = false;
    std::string last_;
};

awaitable<bool> transfer(progress& says, std::string verb, const model_spec& m)
{
    auto began = steady::now();
    auto digest = "sha256:" + m.blob;
    while (true) {
        auto part =
            m.pull > duration::zero()
                ? std::min(1.0, gateway::seconds(steady::now() - began) / gateway::seconds(m.pull))
                : 1.0;
        auto done = static_cast<std::uint64_t>(part * static_cast<double>(m.size));
        std::string line = "{\"status\":\"" + verb + ' ' + m.blob.substr(0, 12) +
                           "\",\"digest\":\"" + digest + "\",\"total\":" + std::to_string(m.size);
        if (done > 0)
            line += ",\"completed\":" + std::to_string(done);
        line += '}';
        co_await says.say(std::move(line));
        if (part >= 1)
            co_return true;
        auto here = co_await says.wait(tick);
        if (!here)
            co_return false;
    }
}

bool valid_digest(std::string_view digest)
{
    if (digest.size() != 71 || (!digest.starts_with("sha256:") && !digest.starts_with("sha256-")))
        return false;
    return digest.substr(7).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool has_blob(const world& w, const std::string& hex)
{
    if (w.blobs.contains(hex))
        return true;
    for (auto& m : w.models.all())
        if (m->blob == hex)
            return true;
    return false;
}

}  // namespace

awaitable<void> pull(connection& c)
{
    named_request r;
    auto good = co_await read_named(c, r);
    if (!good)
        co_return;
    auto model = c.at.registry.find(r.name);
    if (!model)
        model = c.at.models.find(r.name);
    c.begin_call(canonical_name(r.name));
    c.phase = "pull";
    progress says(c, r.stream);
    co_await says.status("pulling manifest");
    if (!model) {
        co_await says.fail("pull model manifest: file does not exist");
        co_await says.end();
        co_return;
    }
    auto whole = co_await transfer(says, "pulling", *model);
    if (!whole)
        co_return;
    co_await says.status("verifying sha256 digest");
    // As long as the transfer's tenth, in silence: the hash of a large file takes its time.
    auto here = co_await says.wait(model->pull / 10);
    if (!here)
        co_return;
    co_await says.status("writing manifest");
    c.at.models.put(*model);
    co_await says.status("success");
    co_await says.end();
}

awaitable<void> push(connection& c)
{
    named_request r;
    auto good = co_await read_named(c, r);
    if (!good)
        co_return;
    auto model = c.at.models.find(r.name);
    c.begin_call(canonical_name(r.name));
    c.phase = "push";
    progress says(c, r.stream);
    co_await says.status("retrieving manifest");
    if (!model) {
        co_await says.fail("model '" + r.name + "' not found");
        co_await says.end();
        co_return;
    }
    auto whole = co_await transfer(says, "pushing", *model);
    if (!whole)
        co_return;
    co_await says.status("pushing manifest");
    co_await says.status("success");
    co_await says.end();
}

awaitable<void> create(connection& c)
{
    named_request r;
    auto good = co_await read_named(c, r);
    if (!good)
        co_return;
    auto& from = member(r.body, "from");
    auto& files = member(r.body, "files");
    c.begin_call(canonical_name(r.name));
    c.phase = "create";
    progress says(c, r.stream);
    model_spec made;
    std::string wrong;
    if (from.is_string() && !from.get_ref<const std::string&>().empty()) {
        auto base = c.at.models.find(from.get<std::string>());
        if (base)
            made = *base;
        else
            wrong = "pull model manifest: file does not exist";
    } else if (files.is_object() && !files.empty() && files.begin()->is_string()) {
        auto digest = files.begin()->get<std::string>();
        auto hex = valid_digest(digest) ? digest.substr(7) : std::string();
        if (has_blob(c.at, hex)) {
            made.blob = hex;
            auto size = c.at.blobs.find(hex);
            made.size = size == c.at.blobs.end() ? made.size : size->second;
        } else {
            wrong = "open blobs: file does not exist";
        }
    } else {
        auto a = native_failure(400, "neither 'from' or 'files' was specified");
        co_await c.reply(std::move(a));
        co_return;
    }
    if (!wrong.empty()) {
        co_await says.fail(wrong);
        co_await says.end();
        co_return;
    }
    if (!from.is_string())
        co_await says.status("parsing GGUF");
    co_await says.status("using existing layer sha256:" + made.blob);
    auto here = co_await says.wait(tick);
    if (!here)
        co_return;
    co_await says.status("writing manifest");
    made.name = canonical_name(r.name);
    made.digest = sha256_hex("manifest of " + made.name + ' ' + made.blob);
    c.at.models.put(made);
    co_await says.status("success");
    co_await says.end();
}

awaitable<void> copy(connection& c)
{
    std::string body;
    auto here = co_await c.read_value(body);
    if (!here)
        co_return;
    auto parsed = parse_go_json(body);
    auto text = [&](const char* key) {
        auto& v = member(parsed.value, key);
        return v.is_string() ? v.get<std::string>() : std::string();
    };
    auto source = text("source"), destination = text("destination");
    auto model = c.at.models.find(source);
    answer a;
    if (parsed.error == "EOF")
        a = native_failure(400, "missing request body");
    else if (!parsed.error.empty())
        a = native_failure(400, parsed.error);
    else if (canonical_name(source).empty())
        a = native_failure(400, "source " + go_quoted(source) + " is invalid");
    else if (canonical_name(destination).empty())
        a = native_failure(400, "destination " + go_quoted(destination) + " is invalid");
    else if (!model)
        a = native_failure(404, "model " + go_quoted(source) + " not found");
    if (a.status == 200) {
        auto twin = *model;
        twin.name = canonical_name(destination);
        c.at.models.put(std::move(twin));
    }
    co_await c.reply(std::move(a));
}

awaitable<void> remove_model(connection& c)
{
    named_request r;
    auto good = co_await read_named(c, r);
    if (!good)
        co_return;
    // The runner stays where it is, and no name reaches it any more (#4443).
    answer a;
    if (!c.at.models.remove(r.name))
        a = native_failure(404, "model '" + r.name + "' not found");
    co_await c.reply(std::move(a));
}

awaitable<void> head_blob(connection& c)
{
    auto digest = c.head.path.substr(std::string_view("/api/blobs/").size());
    answer a;
    if (!valid_digest(digest))
        a = native_failure(400, "invalid digest format");
    else if (!has_blob(c.at, digest.substr(7)))
        a = native_failure(404, "blob not found");
    co_await c.reply(std::move(a));
}

awaitable<void> post_blob(connection& c)
{
    auto digest = c.head.path.substr(std::string_view("/api/blobs/").size());
    answer a;
    if (!valid_digest(digest)) {
        a = native_failure(400, "invalid digest format");
        co_await c.reply(std::move(a));
        co_return;
    }
    auto hex = digest.substr(7);
    if (has_blob(c.at, hex)) {
        // At once, without a look at the body (routes.go:1729).
        co_await c.reply(std::move(a));
        co_return;
    }
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
    std::uint64_t size = 0;
    std::string part;
    while (!c.body_done()) {
        part.clear();
        auto here = co_await c.read_part(part);
        if (!here)
            co_return;
        size += part.size();
        EVP_DigestUpdate(hash.get(), part.data(), part.size());
    }
    std::array<unsigned char, EVP_MAX_MD_SIZE> raw;
    unsigned length = 0;
    EVP_DigestFinal_ex(hash.get(), raw.data(), &length);
    std::string got;
    for (unsigned i = 0; i < length; ++i) {
        got += "0123456789abcdef"[raw[i] >> 4];
        got += "0123456789abcdef"[raw[i] & 15];
    }
    if (got != hex) {
        a = native_failure(
            400, "digest mismatch, expected \"sha256:" + hex + "\", got \"sha256:" + got + "\"");
    } else {
        c.at.blobs[hex] = size;
        a.status = 201;
    }
    co_await c.reply(std::move(a));
}

}  // namespace sim
