#include "downstream/zstd_body.hpp"

#include <zstd.h>

#include <algorithm>
#include <memory>

namespace gateway {

boost::system::result<std::string, fault> unpack_zstd(std::string_view packed)
{
    constexpr std::size_t most_of_all = 20u << 20;
    constexpr std::size_t any_prompt = 4u << 20;
    const auto most = std::min(most_of_all, std::max(any_prompt, 20 * packed.size()));
    constexpr int most_window_log = 23;  // 8 MiB
    auto bad = [](const char* why) {
        return fault{fault_code::bad_body, std::string("the zstd body is broken: ") + why,
                     whose::client, retry::no, 0};
    };
    std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
    if (!context)
        return bad("no memory");
    ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, most_window_log);
    std::string plain;
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    std::size_t wants = 1;
    while (in.pos < in.size) {
        auto old = plain.size();
        if (old >= most)
            return fault{fault_code::too_large,
                         most == most_of_all ? "the body unpacks to more than 20 MiB"
                                             : "the body unpacks to more than 4 MiB, and to more "
                                               "than 20 times its own size",
                         whose::client, retry::no, 0};
        plain.resize(std::min(most, old + ZSTD_DStreamOutSize()));
        ZSTD_outBuffer out{plain.data() + old, plain.size() - old, 0};
        wants = ZSTD_decompressStream(context.get(), &out, &in);
        plain.resize(old + out.pos);
        if (ZSTD_isError(wants))
            return bad(ZSTD_getErrorName(wants));
        if (out.pos == 0 && wants != 0 && in.pos == in.size)
            break;
    }
    if (wants != 0)
        return bad("cut short");
    return plain;
}

}  // namespace gateway
