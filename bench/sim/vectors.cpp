#include "bench/sim/vectors.hpp"

#include <charconv>
#include <cmath>

#include "bench/sim/text.hpp"

namespace sim {

namespace {

std::vector<float> vector_of(std::string_view input, int dimensions)
{
    auto state = fnv1a(input);
    std::vector<float> out(static_cast<std::size_t>(dimensions));
    double sum = 0;
    for (auto& x : out) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        x = static_cast<float>(static_cast<std::int32_t>(state >> 32)) / 2147483648.0f;
        sum += static_cast<double>(x) * x;
    }
    for (auto& x : out)
        x = static_cast<float>(x / std::sqrt(sum > 0 ? sum : 1));
    return out;
}

}  // namespace

void append_vector(std::string& out, std::string_view input, int dimensions)
{
    out += '[';
    bool first = true;
    for (float x : vector_of(input, dimensions)) {
        if (!first)
            out += ',';
        first = false;
        char digits[32];
        out.append(digits, std::to_chars(digits, digits + sizeof digits, x).ptr);
    }
    out += ']';
}

std::string base64_vector(std::string_view input, int dimensions)
{
    auto values = vector_of(input, dimensions);
    return base64({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

bool read_inputs(const json& input, std::vector<std::string>& out)
{
    if (input.is_string()) {
        if (!input.get_ref<const std::string&>().empty())
            out.push_back(input.get<std::string>());
        return true;
    }
    if (input.is_null())
        return true;
    if (!input.is_array())
        return false;
    for (auto& one : input) {
        if (!one.is_string())
            return false;
        out.push_back(one.get<std::string>());
    }
    return true;
}

}  // namespace sim
