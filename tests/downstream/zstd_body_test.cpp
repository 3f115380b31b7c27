// Packed bodies: what they unpack to, and what that may cost.
#include "downstream/zstd_body.hpp"

#include "catch.hpp"

#include <zstd.h>

#include <string>

using namespace gateway;

namespace {

std::string packed(const std::string& text)
{
    std::string made(ZSTD_compressBound(text.size()), '\0');
    made.resize(ZSTD_compress(made.data(), made.size(), text.data(), text.size(), 3));
    return made;
}

// As hard to pack as it is long.
std::string noise(std::size_t size)
{
    std::string made;
    for (unsigned seed = 1; made.size() < size; seed = seed * 1664525 + 1013904223)
        made += static_cast<char>(seed >> 24);
    return made;
}

}  // namespace

TEST_CASE("a packed body is unpacked")
{
    for (const auto& text : {std::string("{}"), std::string(4u << 20, 'x'), noise(5u << 20)}) {
        auto plain = unpack_zstd(packed(text));
        REQUIRE(plain.has_value());
        CHECK(*plain == text);
    }
}

TEST_CASE("a packed body costs at most twenty times its size, or four megabytes")
{
    auto small = packed(std::string((4u << 20) + 1, 'x'));
    REQUIRE(small.size() < 4096);
    auto refused = unpack_zstd(small);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == fault_code::too_large);

    auto large = packed(noise(1u << 20) + std::string(15u << 20, 'x'));
    REQUIRE(large.size() > 1u << 20);
    CHECK(unpack_zstd(large).has_value());
    large = packed(noise(1u << 20) + std::string(20u << 20, 'x'));
    refused = unpack_zstd(large);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == fault_code::too_large);
}

TEST_CASE("a packed body that is cut or broken is refused")
{
    auto whole = packed(R"({"model":"m"})");
    for (std::size_t n = 1; n < whole.size(); ++n)
        CHECK(!unpack_zstd(std::string_view(whole).substr(0, n)).has_value());
    CHECK(!unpack_zstd("no zstd at all").has_value());
}
