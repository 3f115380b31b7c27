// Any bytes as a body: JSON is taken exactly where a whole parser takes it, and means the same to a
// decoder that folds keys as Go does. The first byte chooses the endpoint.
#include "downstream/classify.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

using namespace gateway;

namespace {

void require(bool holds)
{
    if (!holds) {
        std::abort();
    }
}

void check_range(byte_range r, std::string_view body)
{
    require(r.begin <= r.end && r.end <= body.size());
}

std::string fold(std::string_view key)
{
    std::string folded;
    while (!key.empty()) {
        std::size_t size = 1;
        if (key.starts_with("\xC5\xBF")) {
            folded += 's';
            size = 2;
        } else if (key.starts_with("\xE2\x84\xAA")) {
            folded += 'k';
            size = 3;
        } else {
            const char c = key.front();
            folded += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        }
        key.remove_prefix(size);
    }
    return folded;
}

// What Go's decoder would put into a field of this name: the last value whose key folds to it.
class folding_reader : public nlohmann::json_sax<nlohmann::json> {
public:
    std::string model;
    std::optional<bool> stream;

    bool null() override { return true; }
    bool boolean(bool b) override
    {
        if (depth_ == 1 && key_ == "stream") {
            stream = b;
        }
        return true;
    }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t& s) override
    {
        if (depth_ == 1 && key_ == "model") {
            model = s;
        }
        return true;
    }
    bool binary(binary_t&) override { return true; }
    bool start_object(std::size_t) override { return ++depth_ < 1000; }
    bool end_object() override { return depth_-- > 0; }
    bool start_array(std::size_t) override { return ++depth_ < 1000; }
    bool end_array() override { return depth_-- > 0; }
    bool key(string_t& k) override
    {
        if (depth_ == 1) {
            key_ = fold(k);
        }
        return true;
    }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override
    {
        return false;
    }

private:
    unsigned depth_ = 0;
    std::string key_;
};

bool is_ascii(std::string_view s)
{
    for (const char c : s) {
        if (static_cast<unsigned char>(c) >= 0x80) {
            return false;
        }
    }
    return true;
}

void check_json(std::string_view body, endpoint where)
{
    const auto facts = scan_json(body, where);
    // Where both must agree: no bytes that only one of them minds.
    const bool plain = is_ascii(body) && body.find("\\u") == body.npos;
    if (!facts) {
        require(facts.error().code == fault_code::bad_body && !facts.error().message.empty());
        if (plain && facts.error().message.starts_with("invalid JSON") &&
            facts.error().message.find("too deep") == std::string::npos) {
            require(!nlohmann::json::accept(body));
        }
        return;
    }
    for (const byte_range r : {facts->model_value, facts->keep_alive_value, facts->options,
                               facts->num_ctx, facts->shift}) {
        check_range(r, body);
    }
    require(facts->size <= body.size());
    require(body.find_first_not_of(" \t\r\n", facts->size) == body.npos);
    if (facts->size == 0 || !plain) {
        return;
    }
    folding_reader go;
    // Numbers beyond a double are one reader's error and no business of the other's.
    if (nlohmann::json::sax_parse(body, &go) &&
        body.find('{') < body.find_first_not_of(" \t\r\n{")) {
        require(go.model == facts->model);
        if (where == endpoint::chat) {
            require(go.stream == facts->stream);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) {
        return 0;
    }
    const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
    switch (data[0] % 8) {
        case 0: check_json(body, endpoint::generate); break;
        case 1: check_json(body, endpoint::embed); break;
        case 2: check_json(body, endpoint::v1_embeddings); break;
        case 3: {
            const auto facts = scan_multipart(body, "multipart/form-data; boundary=b");
            if (facts) {
                check_range(facts->model_value, body);
            }
            break;
        }
        case 4: {
            const auto line = std::min(body.find('\n'), body.size());
            const auto facts =
                scan_multipart(body.substr(line), body.substr(0, line), body.substr(0, line));
            require(facts.has_value() || facts.error().code == fault_code::bad_body);
            break;
        }
        default: check_json(body, endpoint::chat); break;
    }
    return 0;
}
